"""Arrays that NumPy wrote: .npy, mapped from where it lies, and .npz with x and perhaps y.

The header is read here and compared with the file before anything is allocated: an object array would have to be
unpickled, and a header may declare what is not there.
"""

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from gen_models.errors import DataError, unknown
from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import (
    DEFLATE_RATIO,
    MOST_UNPACKED,
    Scratch,
    copy_exactly,
    locate,
    one_line,
    origin_of,
    require_file,
    require_sha256,
    shown,
    unreadable,
)
from pipelines.data.sources.labels import classes_of

MOST_HEADER = 10_000  # bytes, as numpy's own limit
MOST_AXES = 32
FORTRAN_BYTES = 256 << 20
ROW, LABEL = "uif", "uifbUS"
KINDS = {"O": "Python objects", "c": "complex numbers", "b": "true and false", "U": "text", "S": "text", "V": "records"}
FIXES = {"O": "save x.astype(float)", "c": "save real and imaginary parts as columns", "b": "save x.astype('uint8')"}
UNREADABLE = (SyntaxError, tokenize.TokenError, TypeError, KeyError, OverflowError, MemoryError, RecursionError)
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error)


def npy(
    noise: Noise, *, path: str, labels: str | None = None, channels_last: bool = False, sha256: str | None = None
) -> Arrays:
    """x (rows, ...) of a .npy file, y of a second one, or none. channels_last: (rows, height, width, channels)."""
    file = locate(path)
    files = [file] if labels is None else [file, locate(labels)]
    x = read_npy(file)
    origin = origin_of(*files)
    require_sha256(sha256, origin["sha256"], file)
    y, classes = (None, ()) if labels is None else classes_of(read_npy(files[1], kinds=LABEL), len(x), files[1], file)
    return Arrays(_rows(x, file, channels_last), y, classes, origin=origin, name=shown(file))


def npz(
    noise: Noise,
    *,
    path: str,
    x: str = "x",
    y: str | None = "y",
    channels_last: bool = False,
    sha256: str | None = None,
) -> Arrays:
    """The array named by x in a .npz, labels from the one named by y if it is there; null: rows without labels."""
    file = locate(path)
    origin = origin_of(file)
    require_sha256(sha256, origin["sha256"], file)
    found = read_npz(file, [x] if y is None else [x, y], needed=x)
    rows = _rows(found[x], Path(f"{file}[{x}]"), channels_last)
    name = f"{shown(file)}[{x}]"
    if y is None or y not in found:
        return Arrays(rows, None, (), origin=origin, name=name)
    labels, classes = classes_of(found[y], len(rows), Path(f"{file}[{y}]"), Path(f"{file}[{x}]"))
    return Arrays(rows, labels, classes, origin=origin, name=name)


def read_npy(path: Path, *, kinds: str = ROW) -> np.ndarray:
    """The array of a file, mapped read-only. DataError names the file, what it declares and what it holds."""
    size = require_file(path)
    try:
        with path.open("rb") as file:
            dtype, shape, is_fortran = _header(file, path, kinds)
            begin = file.tell()
    except OSError as error:
        raise unreadable(path, error) from None
    _agree(path, dtype, shape, size - begin)
    if is_fortran and len(shape) > 1 and math.prod(shape) * dtype.itemsize > FORTRAN_BYTES:
        raise DataError(
            f"{shown(path)}: stored by columns, so that a row cannot be read alone; save np.ascontiguousarray(x)"
        )
    if not math.prod(shape):
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, mode="r", offset=begin, shape=shape, order="F" if is_fortran else "C")


def names_in_npz(path: Path) -> list[str]:
    """The arrays in a .npz, in the order of the file."""
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except BROKEN as error:
        raise _broken(path, error) from None
    except OSError as error:
        raise unreadable(path, error) from None


def read_npz(path: Path, names: list[str], *, needed: str) -> dict[str, np.ndarray]:
    """Those of the named arrays that are there, unpacked to disk and mapped."""
    there = names_in_npz(path)
    if needed not in there:
        raise DataError(f"{shown(path)}: " + unknown("array", needed, there[:20]) + "; write its name as options.x")
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name: _unpack(archive, f"{name}.npy", path, ROW if name == needed else LABEL)
                for name in names
                if name in there
            }
    except DataError:
        raise
    except BROKEN as error:
        raise _broken(path, error) from None
    except OSError as error:
        raise unreadable(path, error) from None


def _unpack(archive: zipfile.ZipFile, name: str, path: Path, kinds: str) -> np.ndarray:
    member, where = archive.getinfo(name), Path(f"{path}[{name.removesuffix('.npy')}]")
    if member.file_size > DEFLATE_RATIO * max(member.compress_size, 1):
        raise DataError(
            f"{shown(where)}: declares {member.file_size} bytes, more than {member.compress_size} packed can hold; "
            "the archive is damaged, save it again"
        )
    if member.file_size > MOST_UNPACKED:
        raise DataError(
            f"{shown(where)}: unpacks to {member.file_size} bytes, more than {MOST_UNPACKED}; save it as .npy"
        )
    with archive.open(member) as file:
        dtype, shape, is_fortran = _header(file, where, kinds)
        expected = math.prod(shape) * dtype.itemsize
        _agree(where, dtype, shape, member.file_size - file.tell())
        scratch = Scratch(where, expected)
        found = copy_exactly(file, scratch, expected)
        file.read(1)  # at the end the CRC is checked
    _agree(where, dtype, shape, found)
    if not is_fortran:
        return scratch.map(dtype, shape)
    return scratch.map(dtype, shape[::-1]).transpose()


def _header(file: IO[bytes], path: Path, kinds: str) -> tuple[np.dtype, tuple[int, ...], bool]:
    """(type, shape, whether by columns), checked; the file is left where the numbers begin."""
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise DataError(f"{shown(path)}: .npy of version {version}; save a plain array of numbers")
        shape, is_fortran, dtype = readers[version](file, max_header_size=MOST_HEADER)
    except DataError:
        raise
    except (*BROKEN, *UNREADABLE) as error:
        raise DataError(f"{shown(path)}: not an array that NumPy wrote ({one_line(error)}); np.save it again") from None
    if dtype.hasobject or dtype.kind not in kinds or dtype.itemsize == 0:
        kind = "O" if dtype.hasobject else dtype.kind
        raise DataError(
            f"{shown(path)}: an array of {KINDS.get(kind, 'dates or the like')}, {dtype}; "
            f"{FIXES.get(kind, 'save an array of real numbers')}"
        )
    if len(shape) > MOST_AXES or any(size < 0 for size in shape):
        raise DataError(f"{shown(path)}: shape {str(shape)[:80]} cannot be; np.save it again")
    return dtype, shape, is_fortran


def _agree(path: Path, dtype: np.dtype, shape: tuple[int, ...], found: int) -> None:
    expected = math.prod(shape) * dtype.itemsize
    if found != expected:
        raise DataError(
            f"{shown(path)}: declares shape {shape} of {dtype}, {expected} bytes, but {found} follow; save it again"
        )


def _rows(x: np.ndarray, path: Path, channels_last: bool) -> np.ndarray:
    if x.ndim < 2:
        raise DataError(f"{shown(path)}: shape {x.shape}: give (rows, columns) or more; save x.reshape(-1, 1)")
    if x.ndim > 4:
        raise DataError(f"{shown(path)}: shape {x.shape}: rows have at most 3 axes of their own; reshape them")
    if channels_last and x.ndim != 4:
        raise DataError(f"{shown(path)}: shape {x.shape}: channels_last is for (rows, height, width, channels)")
    return np.moveaxis(x, -1, 1) if channels_last else x


def _broken(path: Path, error: Any) -> DataError:
    return DataError(f"{shown(path)}: not a .npz that can be read ({one_line(error)}); np.savez it again")
