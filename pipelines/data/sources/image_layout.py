"""Finds out what the folders of images mean: parts (train, validation, test), classes, or masks of defects.

photos/photos/a.png ...                          the inner photos holds everything, so its name means nothing
shapes/square/1.png ...                          classes
scans/Training/glioma/1.png, Testing/...         parts, in the usual spellings, and classes
nuts/train/good, test/good, test/bent, ground_truth/bent/000_mask.png     parts, classes and masks

The "way" of a file is the sequence of the names of the folders from the root to the file.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gen_models.errors import DataError
from pipelines.data.sources.files import printable, shown
from pipelines.data.sources.folder_names import is_ground_truth, is_pictures, is_wrapping, may_be_masks, part_of
from pipelines.data.sources.image_files import ImageFiles
from pipelines.data.sources.image_masks import masks_of
from pipelines.data.sources.labels import require_name

Way = tuple[str, ...]  # the names of the folders from the root to a file


@dataclass(frozen=True)
class Layout:
    """Which images are rows, and what their folders say of them.

    files    the image of each row
    parts    {part: the indices of its rows}, or None if the images are not divided
    classes  the class of each row, or None if there are no classes
    masks    {index of a row: the file of its mask}
    notes    sentences on what was decided
    """

    files: tuple[Path, ...]
    parts: dict[str, np.ndarray] | None
    classes: tuple[str, ...] | None
    masks: dict[int, Path]
    notes: tuple[str, ...]


def arrange(found: ImageFiles) -> Layout:
    """Return the parts, classes and masks of the images of a folder.

    Raises DataError, which says what to do, if the folders can be understood in two ways or lack something.
    """
    root, notes = found.root, list(found.notes)
    images, of_masks = split_masks(found)
    if not images:
        raise DataError(f"{shown(root)}: only masks, no images; give the folder that has the images too")
    ways = [way for way, _ in images]
    outer, ways = _look_through(ways, root.name)
    for depth, name in enumerate(outer):
        if part_of(name) in ("test", "validation"):
            inside = shown(root.joinpath(*outer[: depth + 1]))
            raise DataError(
                f"{shown(root)}: only the {part_of(name)} folder {shown(name)}, and none to train on; put the images "
                f"to train on into train beside it, or give {inside} to divide its images"
            )
    parts, names = _parts_of(ways, images, root)
    if parts is not None:
        inner, ways = _look_through_parts(ways)
        outer = (*outer, *inner)
        spelled = ", ".join(f"{shown(name)} is {part}" for name, part in sorted(names.items()) if name != part)
        notes += [f"divided by folders: {spelled}"] if spelled else []
    else:
        _require_no_parts_inside(ways, root)
        notes += [f"the folder {shown(name)} is taken for a class, as the others beside it" for name in sorted(names)]
    notes += [f"the folder {printable(name)} is looked through: nothing is beside it" for name in outer]
    _require_no_pairs(ways, root)
    require_no_masks_inside(images, root)
    files = tuple(file for _, file in images)
    classes = _classes(ways, files, root)
    notes += _alike(classes)
    masks: dict[int, Path] = {}
    if of_masks:
        trained = set() if parts is None else set(parts["train"].tolist())
        rows = {(ways[row], file.stem): row for row, file in reversed(list(enumerate(files))) if row not in trained}
        masks = masks_of([(_behind_part(way), file) for way, file in of_masks], rows)
        notes.append(f"{len(masks)} of {len(files)} images have a mask, beside x in the prepared data")
    return Layout(files, parts, classes, masks, tuple(notes))


def split_masks(found: ImageFiles) -> tuple[list[tuple[Way, Path]], list[tuple[Way, Path]]]:
    """Return (images, masks), two lists of (the way of a file, the file).

    The way of an image starts at the root, the way of a mask inside the folder that holds all masks. Masks are the
    files in a folder such as ground_truth, or in a folder mask or masks that has only folders of parts beside it.
    """
    placed = [(file.relative_to(found.root).parts[:-1], file) for file in found.files]
    outer, _ = _look_through([way for way, _ in placed], found.root.name)
    cut = len(outer)
    tops = {way[cut] for way, _ in placed if len(way) > cut}
    holders = {top for top in tops if is_ground_truth(top)}
    others = tops - holders
    if any(part_of(top) for top in others) and all(part_of(top) or may_be_masks(top) for top in others):
        holders |= {top for top in others if may_be_masks(top)}
    images = [(way, file) for way, file in placed if len(way) <= cut or way[cut] not in holders]
    masks = [(way[cut + 1 :], file) for way, file in placed if len(way) > cut and way[cut] in holders]
    return images, masks


def require_no_masks_inside(images: Sequence[tuple[Way, Path]], root: Path) -> None:
    """Raise DataError for masks in a folder of their own that is deeper than beside the parts: they would become rows.

    images: (its way, the file) of each image that is no mask as `split_masks` sees it
    """
    whole = root.absolute()
    if holder := next((folder for folder in (whole, whole.parent) if is_ground_truth(folder.name)), None):
        raise DataError(
            f"{shown(root)}: by the name of {shown(holder.name)}, masks and no images; give {shown(holder.parent)}, or "
            f"rename {shown(holder.name)}"
        )
    beside: dict[Way, set[str]] = {}
    holding = {way for way, _ in images}
    for way in sorted(holding):
        for depth, name in enumerate(way):
            beside.setdefault(way[:depth], set()).add(name)
    for way, names in sorted(beside.items()):
        masks = sorted(filter(is_ground_truth, names))
        others = {name for name in names if not (may_be_masks(name) or is_ground_truth(name))}
        if way and (others or way in holding) and all(part_of(name) or is_pictures(name) for name in others):
            masks += sorted(filter(may_be_masks, names))
        if masks:
            inside = root.joinpath(*way)
            is_whole = "train" in map(part_of, others) and all(map(part_of, others))
            give = f"give {shown(inside)}, or " if is_whole else ""
            raise DataError(
                f"{shown(inside / masks[0])}: masks, which would be taken for images; {give}move them out of "
                f"{shown(root)}"
            )


def _look_through(ways: Sequence[Way], outside: str) -> tuple[Way, list[Way]]:
    """Return (the names of the outer folders that hold all files and are no class, each way from there on).

    outside: the name of the folder in which the ways start. A folder that holds all images directly is their only
    class, unless `is_wrapping` says that its name is not a class's.
    """
    first, depth = ways[0], 0
    while all(way[: depth + 1] == first[: depth + 1] and len(way) > depth for way in ways):
        top, around = first[depth], first[depth - 1] if depth else outside
        if not is_wrapping(top, around) and all(len(way) == depth + 1 for way in ways):
            break
        depth += 1
    return first[:depth], [way[depth:] for way in ways]


def _look_through_parts(ways: Sequence[Way]) -> tuple[Way, list[Way]]:
    """Return (the folders between a part and its classes, such as train/images; each way from its part's classes on).

    A part whose classes are directly inside it has no such folder.
    """
    of_part: dict[str, list[Way]] = {}
    for way in ways:
        of_part.setdefault(way[0], []).append(way)
    cut, between = {}, []
    for top, inside in of_part.items():
        seconds = {way[1] if len(way) > 1 else "" for way in inside}
        second = next(iter(seconds))
        is_between = len(seconds) == 1 and bool(second) and is_wrapping(second, top)
        cut[top] = 2 if is_between else 1
        between += [f"{top}/{second}"] if is_between else []
    return tuple(between), [way[cut[way[0]] :] for way in ways]


def _behind_part(way: Way) -> Way:
    """Return the folders after the last one that is a part: bent for test/bent and for nuts/test/bent."""
    last = max((k for k, name in enumerate(way) if part_of(name)), default=-1)
    return way[last + 1 :]


def _parts_of(
    ways: Sequence[Way], images: Sequence[tuple[Way, Path]], root: Path
) -> tuple[dict[str, np.ndarray] | None, dict[str, str]]:
    """Return ({part: the indices of its rows} or None, {folder: part} of the first folders that are named like parts).

    The first is None if the images are not divided: a folder with a part's name is then a class. Raises DataError if a
    folder belongs to no part, if two folders are the same part, or if none is train.
    """
    tops = [way[0] if way else "" for way in ways]
    kinds = {top: part_of(top) for top in set(tops)}
    names = {top: part for top, part in kinds.items() if part}
    others = sorted(top for top in kinds if top not in names)
    spelled = ", ".join(shown(name) for name in sorted(names))
    present = set(names.values())
    if not names or (others and ("train" not in present or len(present) < 2)):
        return None, names  # such as the classes train, bus and car
    if others:
        name = shown(others[0]) or f"the image {shown(images[tops.index('')][1].name)}"
        raise DataError(
            f"{shown(root)}: beside the parts {spelled} is {name}, which belongs to none; move it into one of them or "
            "out of the folder"
        )
    for part in sorted(present):
        if len(twice := sorted(top for top in names if names[top] == part)) > 1:
            raise DataError(
                f"{shown(root)}: {' and '.join(map(shown, twice))} are both {part}; put their images into one folder, "
                f"or move one out of {shown(root)}"
            )
    if "train" not in present:
        raise DataError(f"{shown(root)}: {spelled}, and no folder to train on; put one named train beside them")
    rows: dict[str, list[int]] = {}
    for row, top in enumerate(tops):
        rows.setdefault(names[top], []).append(row)
    return {part: np.array(numbers) for part, numbers in rows.items()}, names


def _require_no_parts_inside(ways: Sequence[Way], root: Path) -> None:
    """Raise DataError if every class folder holds folders train and test.

    Such folders are several data sets, or one whose classes should be inside train and test.
    """
    inside: dict[str, set[str | None]] = {}
    for way in ways:
        inside.setdefault(way[0] if way else "", set()).add(part_of(way[1]) if len(way) > 1 else None)
    if all("train" in parts and len(parts - {None}) > 1 for parts in inside.values()):
        some = sorted(inside)
        raise DataError(
            f"{shown(root)}: each of {', '.join(map(shown, some[:5]))} holds train and test folders of its own; give "
            f"one of them, as {shown(root / some[0])}, or put train and test outside, as train/{shown(some[0])}"
        )


def _require_no_pairs(ways: Sequence[Way], root: Path) -> None:
    """Raise DataError if the only folders are images/ and masks/, or the like, because they are not two classes."""
    tops = sorted({way[0] if way else "" for way in ways})
    if len(tops) == 2 and any(map(is_pictures, tops)) and any(map(may_be_masks, tops)):
        raise DataError(
            f"{shown(root)}: {' and '.join(map(shown, tops))} are images and their masks, no classes; move the masks "
            "out of the folder"
        )


def _classes(ways: Sequence[Way], files: Sequence[Path], root: Path) -> tuple[str, ...] | None:
    """Return the class of each row, the first folder of its way, or None if no image is in a folder.

    Raises DataError if only some images are in folders.
    """
    is_flat = [not way for way in ways]
    if all(is_flat):
        return None
    if any(is_flat):
        raise DataError(
            f"{shown(files[is_flat.index(True)])}: lies beside the folders of classes; move it into one of them"
        )
    # macOS writes an accent as a character of its own; with NFC, a name is the same class wherever it was written
    classes = tuple(unicodedata.normalize("NFC", printable(way[0])) for way in ways)
    for name in set(classes):
        require_name(name, f"{shown(root)}: the class folder")
    return classes


def _alike(classes: tuple[str, ...] | None) -> list[str]:
    """Return a sentence for each two classes whose names differ in upper and lower case only."""
    names = sorted(set(classes or ()))
    first = {name.casefold(): name for name in reversed(names)}
    pairs = [(first[name.casefold()], name) for name in names if first[name.casefold()] != name]
    return [f"the classes {a} and {b} differ in upper and lower case only" for a, b in pairs]
