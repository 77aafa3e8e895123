"""Parts that all readers of users' files share: paths in errors, limits of size, and space on disk for unpacked bytes.

Files are not trusted. A reader compares a file's size with the size that its header declares before it allocates
memory; it unpacks to disk and maps the result; and it never allocates more than a block.
"""

import gzip
import hashlib
import itertools
import os
import re
import shutil
import stat
import tempfile
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import numpy as np

from gen_models.errors import ConfigError, DataError, one_line
from pipelines.runtime import paths

BLOCK_BYTES = 4 << 20
MOST_UNPACKED = 8 << 30  # a packed file that unpacks to more is refused: unpacked by its owner, it can be mapped
ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")  # a byte beyond ASCII, in a name that is not UTF-8
DEFLATE_RATIO = 1032  # no deflate stream unpacks to more than this times its size

OTHER_FORMS = {  # what to do about files that people have and no reader takes, by ending
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z"), "unpack it first"),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save the sheet as CSV"),
    **dict.fromkeys((".json", ".jsonl", ".feather", ".arrow", ".orc", ".dta", ".sav"), "write it as Parquet or CSV"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), "a pickle may run code; write Parquet, CSV or .npz"),
    **dict.fromkeys((".h5", ".hdf5", ".mat"), "write its arrays as .npz"),
}


def advice(path: Path) -> str:
    """Return ": " and what to do about a file whose ending no reader takes, or "" for an ending that says nothing."""
    found = OTHER_FORMS.get(path.suffix.lower())
    return f": {found}" if found else ""


def shown(path: Path | str) -> str:
    """Return a path as text for a message; unprintable characters are escaped, so that a name cannot break the line."""
    text = str(path)
    return text if text.isprintable() else repr(text)[1:-1]


def printable(name: str) -> str:
    """Return a name of a file as text that can be shown and stored; bytes that are not UTF-8 are escaped, as \\xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def name_of(file: Path, root: Path) -> str:
    """Return the path of a file in a folder, as text that can be shown and stored."""
    return printable(file.relative_to(root).as_posix())


def locate(path: Any) -> Path:
    """Return `options.path` of conf/data/NAME.yaml as an absolute path.

    A relative path starts at the folder that has conf/. YAML cannot hold a name that is not UTF-8; the option may have
    such a name as `printable` returns it.

    Raises ConfigError if `path` is not a path, and DataError if nothing is there.
    """
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(f"options.path: {path!r} is not a path; give that of a file or folder")
    try:
        found = Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"options.path: {path!r} names an unknown home; write the folder in full") from None
    found = found if found.is_absolute() else paths.source() / found
    if not _is_there(found) and _is_there(named := Path(_unescaped(str(found)))):
        return named
    require_there(found)
    return found


def _unescaped(path: str) -> str:
    """Return the path that `printable` turned into this text."""
    return os.fsdecode(ESCAPED.sub(lambda byte: bytes.fromhex(byte[1].decode()), os.fsencode(path)))


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def require_there(path: Path) -> None:
    """Raise DataError if a path does not exist; the error suggests a similar name in the nearest existing folder."""
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
    """Return the size in bytes of a file. Raises DataError unless it is a regular file that is not empty.

    A pipe is refused because a reader of it could wait for ever.
    """
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
    """Return the SHA-256 of a file, which is read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def origin_of(*files: Path) -> dict[str, Any]:
    """Return {"sha256", "files", "bytes"} for one file or several. The hash depends on the order of the files."""
    digests = [sha256_of(path) for path in files]
    joined = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return {"sha256": joined, "files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def require_sha256(pinned: Any, found: str, path: Path, labels: Path | None = None) -> None:
    """Raise DataError if `options.sha256` of conf/data/NAME.yaml is given and is not the hash of the data.

    pinned: that option, or None; found: the hash of the data; path: the file or folder of the rows;
    labels: the file of the labels if `found` is the hash of both files, else None
    """
    if pinned is None or pinned == found:
        return
    if labels is not None and pinned == sha256_of(path):
        raise DataError(
            f"{shown(path)}: options.sha256 is that of this file alone, without labels: {shown(labels)}; "
            f"write sha256: {found} in options"
        )
    raise DataError(
        f"{shown(path)}: sha256 is {found}, options.sha256 {pinned!r}: the data have changed; "
        f"restore them, or write sha256: {found} in options"
    )


def why(error: BaseException) -> str:
    """Return an error's message as one printable line, whatever characters a file's name has."""
    return shown(one_line(error))


class Scratch:
    """Space on disk for bytes that may be too many for memory.

    The bytes are appended to a temporary file without a name, which is then memory-mapped. The kernel deletes the file
    when no process uses it any more.
    """

    def __init__(self, path: Path, expected: int = 0):
        """Create the temporary file.

        path: the file whose bytes are written here, for errors; expected: how many bytes will be written. Raises
        DataError if the disk of the temporary folder has fewer bytes free than `expected`.
        """
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
        """Return the bytes as an array, memory-mapped and read-only. After this, nothing more can be written."""
        with self._file as file:  # the map stays valid after the file is closed
            file.flush()
            return np.memmap(file, dtype, mode="r", shape=shape) if self.bytes else np.empty(shape, dtype)

    def __del__(self) -> None:
        """Close the file if it was never mapped, which happens after an error."""
        if hasattr(self, "_file"):
            self._file.close()


def copy_exactly(source: IO[bytes] | gzip.GzipFile, to: Scratch, size: int) -> int:
    """Copy at most `size` bytes, and return how many were copied."""
    left = size
    while left and (block := source.read(min(BLOCK_BYTES, left))):
        to.write(block)
        left -= len(block)
    return size - left
