"""One thing that `gen-models gc` may remove, and the function that removes it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TRASH = ".removed"


@dataclass(frozen=True)
class Item:
    """One thing that may be removed.

    kind: what sort of thing it is, in words for people; what: its name; bytes: how many it takes on this disk
    remove: removes it and returns True; or leaves it and returns False, if it turned out to be needed after all
    """

    kind: str
    what: str
    bytes: int
    remove: Callable[[], bool]


def folder_item(kind: str, path: Path, what: str) -> Item:
    """Return an item that removes a folder or file. kind, what: as in Item"""
    return Item(kind, what, size_of(path), lambda: remove_path(path))


def size_of(path: Path) -> int:
    """Return how many bytes a file has, or all files below a folder together."""
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(inner.lstat().st_size for inner in path.rglob("*") if inner.is_symlink() or inner.is_file())


def remove_path(path: Path) -> bool:
    """Remove a file or folder, and return True.

    A folder is renamed before its files are removed, so that a kill leaves nothing that looks whole.
    """
    if path.is_dir() and not path.is_symlink():
        doomed = path if path.name.endswith(TRASH) else path.with_name(f".{path.name}{TRASH}")
        if doomed != path:
            shutil.rmtree(doomed, ignore_errors=True)
            path.rename(doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)
    return True
