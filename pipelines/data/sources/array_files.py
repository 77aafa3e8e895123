"""Reads arrays that NumPy wrote: a .npy file, which is memory-mapped, or a .npz file of rows and perhaps labels.

This module reads the header of an array itself. It refuses an array of objects, because unpickling objects can run
code, and it refuses a header that declares more or fewer bytes than the file has, before memory is allocated.
"""

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from gen_models.errors import DataError
from gen_models.noise import Noise
from pipelines.config import yaml_file
from pipelines.data.row_names import by_index
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import (
    DEFLATE_RATIO,
    MOST_UNPACKED,
    Scratch,
    copy_exactly,
    locate,
    origin_of,
    require_file,
    require_sha256,
    shown,
    unreadable,
    why,
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
    """Read rows (rows, ...) from a .npy file. `noise` is not used: nothing is drawn.

    path           the file of the rows
    labels         a second .npy file with (rows,) labels, or None
    channels_last  the file holds (rows, height, width, channels); return (rows, channels, height, width)
    sha256         the hash that the files must have, or None for any
    """
    file = locate(path)
    files = [file] if labels is None else [file, locate(labels)]
    x = read_npy(file)
    origin = origin_of(*files)
    require_sha256(sha256, origin["sha256"], file, files[1] if labels else None)
    y, classes = (None, ()) if labels is None else classes_of(read_npy(files[1], kinds=LABEL), len(x), files[1], file)
    rows = _rows(x, file, channels_last)
    return Arrays(rows, y, classes, origin=origin, name=shown(file), names=by_index(len(rows)))


def npz(
    noise: Noise,
    *,
    path: str,
    x: str = "x",
    y: str | None = "y",
    channels_last: bool = False,
    sha256: str | None = None,
) -> Arrays:
    """Read rows and, if the file has them, labels from a .npz file. `noise` is not used: nothing is drawn.

    x: the name of the array of rows; y: the name of the array of labels, or None to read no labels; channels_last,
    sha256: as in `npy`
    """
    file = locate(path)
    origin = origin_of(file)
    require_sha256(sha256, origin["sha256"], file)
    found = read_npz(file, [x] if y is None else [x, y], needed=x)
    rows = _rows(found[x], Path(f"{file}[{x}]"), channels_last)
    name, names = f"{shown(file)}[{x}]", by_index(len(rows))
    if y is None or y not in found:
        return Arrays(rows, None, (), origin=origin, name=name, names=names)
    labels, classes = classes_of(found[y], len(rows), Path(f"{file}[{y}]"), Path(f"{file}[{x}]"))
    return Arrays(rows, labels, classes, origin=origin, name=name, names=names)


def read_npy(path: Path, *, kinds: str = ROW) -> np.ndarray:
    """Return the array of a .npy file, memory-mapped and read-only.

    kinds: the letters of the NumPy types (dtype.kind) that are allowed. Raises DataError, which names the file, for
    other types and if the header declares more or fewer bytes than the file has.
    """
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
    """Return the names of the arrays in a .npz file, in the file's order. Raises DataError if it cannot be read."""
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except BROKEN as error:
        raise _broken(path, error) from None
    except OSError as error:
        raise unreadable(path, error) from None


def read_npz(path: Path, names: list[str], *, needed: str) -> dict[str, np.ndarray]:
    """Return {name: array} for those of `names` that a .npz file has; the arrays are unpacked to disk and mapped.

    needed: the name of the rows, which must be numbers; other arrays may be labels: numbers, truth values or text.
    Raises DataError if the file lacks the array `needed`, or if an array cannot be read.
    """
    there = names_in_npz(path)
    if needed not in there:
        fix = f"write x: {yaml_file.dump(there[0])} in options" if there else "save one"
        fix += f", or another of {', '.join(there[1:20])}" if there[1:] else ""
        raise DataError(f"{shown(path)}: holds no array {needed!r}; {fix}")
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
        file.read(1)  # zipfile checks the CRC when it reaches the end
    _agree(where, dtype, shape, found)
    if not is_fortran:
        return scratch.map(dtype, shape)
    return scratch.map(dtype, shape[::-1]).transpose()


def _header(file: IO[bytes], path: Path, kinds: str) -> tuple[np.dtype, tuple[int, ...], bool]:
    """Read and check a .npy header, up to the first number; return (type, shape, whether stored by columns)."""
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise DataError(f"{shown(path)}: .npy of version {version}; save a plain array of numbers")
        shape, is_fortran, dtype = readers[version](file, max_header_size=MOST_HEADER)
    except DataError:
        raise
    except (*BROKEN, *UNREADABLE) as error:
        raise DataError(f"{shown(path)}: not an array that NumPy wrote ({why(error)}); np.save it again") from None
    if dtype.hasobject or dtype.kind not in kinds or dtype.itemsize == 0:
        kind = "O" if dtype.hasobject else dtype.kind
        fix = (
            "save y.astype(str)" if kinds == LABEL and kind == "O" else FIXES.get(kind, "save an array of real numbers")
        )
        raise DataError(f"{shown(path)}: an array of {KINDS.get(kind, 'dates or the like')}, {dtype}; {fix}")
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
    return DataError(f"{shown(path)}: not a .npz that can be read ({why(error)}); np.savez it again")
