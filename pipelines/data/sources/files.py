"""What all readers of people's files share: the path in an error, the limits, and a place on disk for what is unpacked.

A file is data, never trusted: its size is compared with what it declares before anything is allocated, what is
unpacked goes to disk and is mapped, and no reader allocates more than a block.
"""

import gzip
import hashlib
import itertools
import re
import shutil
import stat
import tempfile
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import numpy as np

from gen_models.errors import ConfigError, DataError
from pipelines.runtime import paths

BLOCK_BYTES = 4 << 20
MOST_UNPACKED = 8 << 30  # of a packed file: larger ones are mapped from where they lie, unpacked by their owner
DEFLATE_RATIO = 1032  # no deflate stream unpacks to more than this times its size


def shown(path: Path | str) -> str:
    """A path as part of a line: unprintable characters escaped, so that a name cannot break the line."""
    text = str(path)
    return text if text.isprintable() else repr(text)[1:-1]


def locate(path: Any) -> Path:
    """options.path as an absolute path, relative ones from the project's folder. DataError where it is not there."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(f"options.path: {path!r} is not a path; give that of a file or folder")
    try:
        found = Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"options.path: {path!r} names an unknown home; write the folder in full") from None
    found = found if found.is_absolute() else paths.root() / found
    require_there(found)
    return found


def require_there(path: Path) -> None:
    """DataError with the nearest match in the nearest folder that exists."""
    try:
        path.stat()
    except FileNotFoundError:
        missing = path
        while not missing.parent.is_dir():
            missing = missing.parent
        there = [child.name for child in itertools.islice(missing.parent.iterdir(), 10_000)]
        near = get_close_matches(missing.name, there, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "give one that is there"
        raise DataError(f"{shown(path)}: no such file or folder; {hint}") from None
    except OSError as error:
        raise unreadable(path, error) from None


def require_file(path: Path) -> int:
    """The bytes of a regular file that is not empty; DataError otherwise. A pipe would wait for ever."""
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{shown(path)}: not a regular file; give a file of data")
    if not status.st_size:
        raise DataError(f"{shown(path)}: empty, 0 bytes; remove it or copy it again")
    return status.st_size


def unreadable(path: Path, error: OSError) -> DataError:
    reason = (error.strerror or "cannot be read").lower()
    return DataError(f"{shown(path)}: {reason}; give a file that this user can read")


def sha256_of(path: Path) -> str:
    """The hash of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def origin_of(*files: Path) -> dict[str, Any]:
    """{"sha256", "files", "bytes"} of one file, or of several in this order."""
    digests = [sha256_of(path) for path in files]
    joined = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return {"sha256": joined, "files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def require_sha256(pinned: Any, found: str, path: Path) -> None:
    """DataError unless `options.sha256` is left out or is that of what was read."""
    if pinned is None or pinned == found:
        return
    raise DataError(
        f"{shown(path)}: sha256 is {found}, options.sha256 {pinned!r}: the data have changed; "
        "restore them, or write the new one"
    )


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks and addresses, and no longer than a line allows."""
    text = re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(error).split()))[:200]
    return shown(text) or type(error).__name__


class Scratch:
    """Bytes that do not belong into memory: appended to a nameless file, then mapped. The kernel deletes the file."""

    def __init__(self, path: Path, expected: int = 0):
        """path: what is unpacked, for errors; expected: bytes to come, refused where the disk has no room."""
        self._path = path
        self._folder = tempfile.gettempdir()
        free = shutil.disk_usage(self._folder).free
        if expected > free:
            raise DataError(
                f"{shown(path)}: unpacks to {expected} bytes, {self._folder} has {free}; set TMPDIR to a larger disk"
            )
        self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  lives as long as its map
        self.bytes = 0

    def write(self, block: bytes | np.ndarray) -> None:
        data = block if isinstance(block, bytes) else np.ascontiguousarray(block).tobytes()
        try:
            self._file.write(data)
        except OSError as error:
            raise DataError(
                f"{shown(self._path)}: {self._folder}: {error.strerror} after {self.bytes} bytes; "
                "set TMPDIR to a larger disk"
            ) from None
        self.bytes += len(data)

    def map(self, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """The bytes as an array, read-only; nothing can be written any more."""
        with self._file as file:  # the map outlives it
            file.flush()
            return np.memmap(file, dtype, mode="r", shape=shape) if self.bytes else np.empty(shape, dtype)

    def __del__(self) -> None:
        """After an error nobody maps it."""
        if hasattr(self, "_file"):
            self._file.close()


def copy_exactly(source: IO[bytes] | gzip.GzipFile, to: Scratch, size: int) -> int:
    """Copy at most `size` bytes; how many there were."""
    left = size
    while left and (block := source.read(min(BLOCK_BYTES, left))):
        to.write(block)
        left -= len(block)
    return size - left
