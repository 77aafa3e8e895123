"""Finds the images below a folder, and follows links to where they lead.

DVC's caches, and many people, put links in the place of files. A link is followed if it leads to an existing file or
folder, inside or outside of the folder that is read, and not in a circle.
"""

import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gen_models.errors import DataError
from pipelines.data.sources.files import name_of, shown, unreadable, why
from pipelines.data.sources.left_out import LeftOut, junk_kind

MOST_DEPTH = 8
MOST_FILES = 10_000_000
DVC_CACHE = re.compile(r"/\.dvc/cache/|/files/md5/[0-9a-f]{2}/[0-9a-f]{30}")


@dataclass(frozen=True)
class ImageFiles:
    """The images below a folder, sorted by their paths, and sentences on what else is there."""

    root: Path
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def find_images(root: Path) -> ImageFiles:
    """Find the images below a folder. Raises DataError for a link that cannot be followed, and if there is no image."""
    if not root.is_dir():
        raise DataError(f"{shown(root)}: not a folder; give a folder of images")
    left_out, found, visited, entries = LeftOut(), [], [], 0
    stack: list[tuple[Path, int, tuple[Path, ...]]] = [(root, 0, ())]
    while stack:
        folder, depth, links = stack.pop()
        if depth > MOST_DEPTH:
            raise DataError(f"{shown(folder)}: more than {MOST_DEPTH} folders deep; put images into a folder a class")
        visited.append(folder)
        for entry in _children(folder):
            entries += 1
            if entries > MOST_FILES:
                raise DataError(f"{shown(root)}: more than {MOST_FILES} files; give a folder with fewer")
            path, is_folder, behind = Path(entry.path), _is_folder(entry), links
            is_junk = junk_kind(entry.name, is_folder=is_folder) is not None
            if entry.is_symlink() and not is_junk and not _is_file(entry):
                behind = _follow(path, links)
            if left_out.takes(entry.name, is_folder=is_folder):
                continue
            if is_folder:
                stack.append((path, depth + 1, behind))
            else:
                found.append(path)
    if not found:
        raise DataError(f"{shown(root)}: no images; found {left_out.summary()}; give a folder of .png, .jpg, .tif ...")
    files = sorted(found, key=lambda path: path.relative_to(root).as_posix())
    return ImageFiles(root, tuple(files), left_out.notes(_without_images(visited, files, root)))


def _children(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(folder, error) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _follow(link: Path, links: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return `links` with the folder that holds this link added.

    links: the folders that hold the links which were followed on the way to this one. Raises DataError if this link
    leads nowhere, or to a folder around any of these: it would be followed in a circle.
    """
    try:
        target, folder = link.resolve(strict=True), link.parent.resolve()
    except (OSError, RuntimeError) as error:
        if DVC_CACHE.search(os.path.realpath(link)):
            tracked = next((f"{path}.dvc" for path in (link, *link.parents) if Path(f"{path}.dvc").is_file()), "")
            command = shown(f"dvc pull {shlex.quote(tracked)}" if tracked else "dvc pull")
            raise DataError(
                f"{shown(link)}: a link into DVC's cache, where its file is missing; run `{command}`"
            ) from None
        raise DataError(f"{shown(link)}: a link to nowhere or in a circle ({why(error)}); remove it") from None
    passed = (*links, folder)
    if any(one.is_relative_to(target) for one in passed):
        raise DataError(f"{shown(link)}: a link to a folder that holds it, {shown(target)}; remove it")
    return passed


def _without_images(visited: Iterable[Path], files: Iterable[Path], root: Path) -> list[str]:
    """Return the folders without any image in them or below, as text; of nested ones, only the outermost."""
    holding = {root}
    for folder in {file.parent for file in files}:
        while folder not in holding:
            holding.add(folder)
            folder = folder.parent
    barren = (folder for folder in visited if folder not in holding and folder.parent in holding)
    return sorted(name_of(folder, root) for folder in barren)
