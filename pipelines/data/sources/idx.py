"""Reads IDX files, gzipped or not: the format of MNIST and its relatives (LeCun, Cortes and Burges, 1998).

A file holds, all big-endian and in this order:

    2 bytes that are 0
    1 byte for the type of the numbers
    1 byte for the number of dimensions
    4 bytes for the size of each dimension
    the numbers

The size that the header declares is compared with the bytes of the file before anything is allocated.
"""

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gen_models.errors import DataError
from gen_models.noise import Noise
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

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"


def idx(noise: Noise, *, path: str, labels: str | None = None, sha256: str | None = None) -> Arrays:
    """Read rows (rows, ...) from an IDX file; images become (rows, 1, height, width). `noise` is not used.

    path: the file of the rows; labels: a second IDX file with (rows,) labels, or None; sha256: the hash that the files
    must have, or None for any
    """
    file = locate(path)
    files = [file] if labels is None else [file, locate(labels)]
    x = read_idx(file)
    if x.ndim == 1:
        raise DataError(f"{shown(file)}: one dimension, {len(x)} numbers: these are labels; give the file of the rows")
    origin = origin_of(*files)
    require_sha256(sha256, origin["sha256"], file, files[1] if labels else None)
    y, classes = (None, ()) if labels is None else classes_of(read_idx(files[1]), len(x), files[1], file)
    rows = x[:, None] if x.ndim == 3 else x
    return Arrays(rows, y, classes, origin=origin, name=shown(file), names=by_index(len(rows)))


def read_idx(path: Path) -> np.ndarray:
    """Return the array of an IDX file, memory-mapped and read-only; a gzipped file is unpacked to disk first.

    Raises DataError, which names the file, if the header declares more or fewer bytes than the file has.
    """
    size = require_file(path)
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == GZIP
            file.seek(0)
            if not is_packed:
                dtype, shape, begin = _header(file, path)
                _agree(path, dtype, shape, size - begin)
                if not math.prod(shape):
                    return np.empty(shape, dtype)
                return np.memmap(path, dtype, mode="r", offset=begin, shape=shape)
            with gzip.open(file) as unpacked:
                return _unpack(unpacked, path, size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{shown(path)}: broken gzip ({why(error)}); copy or download the file again") from None
    except OSError as error:
        raise unreadable(path, error) from None


def parse_idx(content: bytes, path: Path) -> np.ndarray:
    """Return the array that the unpacked bytes of an IDX file hold. path: the file, for errors."""
    file = io.BytesIO(content)
    dtype, shape, begin = _header(file, path)
    _agree(path, dtype, shape, len(content) - begin)
    return np.frombuffer(content, dtype, offset=begin).reshape(shape)


def _unpack(file: gzip.GzipFile, path: Path, packed: int) -> np.ndarray:
    dtype, shape, _ = _header(file, path)
    expected = math.prod(shape) * dtype.itemsize
    if expected > DEFLATE_RATIO * packed:
        raise DataError(
            f"{shown(path)}: declares {_by(shape)} numbers, {expected} bytes: more than {packed} of gzip can hold; "
            "copy or download the file again"
        )
    if expected > MOST_UNPACKED:
        raise DataError(
            f"{shown(path)}: unpacks to {expected} bytes, more than {MOST_UNPACKED}; gunzip it and give that file"
        )
    scratch = Scratch(path, expected)
    found = copy_exactly(file, scratch, expected)
    found += len(file.read(1))  # reads on to find surplus bytes; at the file's end gzip checks the CRC
    _agree(path, dtype, shape, found)
    return scratch.map(dtype, shape)


def _header(file: BinaryIO | gzip.GzipFile, path: Path) -> tuple[np.dtype, tuple[int, ...], int]:
    """Read and check the header; return (type, shape, the header's length in bytes)."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not magic[3]:
        raise DataError(
            f"{shown(path)}: begins with {magic.hex() or 'nothing'}, not as an IDX file (000008.. for bytes)"
        )
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{shown(path)}: ends inside its header of {magic[3]} dimensions; copy or download it again")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if len(shape) > 4:
        raise DataError(f"{shown(path)}: {len(shape)} dimensions, {_by(shape)}; rows have at most 3 of their own")
    return np.dtype(TYPES[magic[2]]), shape, 4 + len(sizes)


def _agree(path: Path, dtype: np.dtype, shape: tuple[int, ...], found: int) -> None:
    expected = math.prod(shape) * dtype.itemsize
    if found == expected:
        return
    what = f"{found} bytes follow" if found < expected else f"at least {found - expected} bytes more follow"
    raise DataError(
        f"{shown(path)}: declares {_by(shape)} numbers, {expected} bytes, but {what}; copy or download it again"
    )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)
