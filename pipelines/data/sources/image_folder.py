"""Reads a folder of images: a flat one, one with a folder for each class, or train and test folders with either inside.

    faces/a.png ...                     rows without labels
    shapes/square/1.png ...             labels are the names of the folders, such as normal/ and abnormal/
    parts/train/good/1.png ...          already divided into train, test and perhaps validation
    parts/test/scratch/1.png ...

Rows are (channels, height, width) uint8. All images must have one size and one mode; the options
`size: [height, width]` and `mode: L` or `mode: RGB` convert them. Before an image is decoded, the size of its file is
limited, its header is read, and its size in pixels is compared with the first image's.
"""

import hashlib
import io
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from gen_models.errors import ConfigError, DataError
from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import Scratch, locate, require_file, require_sha256, shown, unreadable, why
from pipelines.data.sources.labels import require_name

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MODES = {"L": 1, "RGB": 3}
PARTS = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation"}
MOST_BYTES = 64 << 20  # the largest file
MOST_PIXELS = 1 << 24  # the largest image: 4096 x 4096
MOST_DEPTH = 8
MOST_FILES = 10_000_000
DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")  # a file in DVC's cache, wherever cache.dir has it


def image_folder(
    noise: Noise,
    *,
    path: str,
    size: Sequence[int] | None = None,
    mode: str | None = None,
    sha256: str | None = None,
) -> Arrays:
    """Read rows (rows, channels, height, width) uint8 from a folder of images.

    Labels are the names of the class folders, and parts the folders train, test and validation, where there are any.

    size: [height, width] to which images are resized, or None; mode: "L" or "RGB" to which they are converted, or None;
    sha256: the hash that the images must have, or None
    """
    root = locate(path)
    _check_options(size, mode)
    files = find_images(root)
    parts, names = arrange(files, root)
    first = read_image(files[0], size=size, mode=mode)[0]
    scratch, digest, total = Scratch(root, len(files) * first.nbytes), hashlib.sha256(), 0
    for file in files:
        image, content = read_image(file, size=size, mode=mode, like=(files[0], first.shape))
        scratch.write(image)
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode("utf-8", "surrogateescape"))
        digest.update(hashlib.sha256(content).digest())
        total += len(content)
    require_sha256(sha256, digest.hexdigest(), root)
    origin = {"sha256": digest.hexdigest(), "files": len(files), "bytes": total}
    x = scratch.map(np.dtype(np.uint8), (len(files), *first.shape))
    if names is None:
        return Arrays(x, None, (), parts=parts, origin=origin, name=shown(root))
    classes, y = np.unique(np.array(names), return_inverse=True)
    return Arrays(
        x,
        y.astype(np.int64),
        tuple(str(name) for name in classes),
        parts=parts,
        origin=origin,
        name=shown(root),
    )


def find_images(root: Path) -> list[Path]:
    """Return the images below a folder, sorted by their paths.

    Links are followed if they stay inside the folder or lead into DVC's cache.

    Raises DataError if there is no image, or another limit is met.
    """
    if not root.is_dir():
        raise DataError(f"{shown(root)}: not a folder; give a folder of images")
    real = root.resolve()
    found: list[Path] = []
    others: Counter[str] = Counter()
    entries = 0
    stack = [(root, 0)]
    while stack:
        folder, depth = stack.pop()
        if depth > MOST_DEPTH:
            raise DataError(f"{shown(folder)}: more than {MOST_DEPTH} folders deep; put images into a folder a class")
        try:
            children = sorted(folder.iterdir())
        except OSError as error:
            raise unreadable(folder, error) from None
        for child in children:
            entries += 1
            if entries > MOST_FILES:
                raise DataError(f"{shown(root)}: more than {MOST_FILES} files; give a folder with fewer")
            if child.name.startswith("."):
                continue
            if child.is_symlink():
                _check_link(child, real)
            if child.is_dir():
                stack.append((child, depth + 1))
            elif child.suffix.lower() in SUFFIXES:
                found.append(child)
            else:
                others[child.suffix.lower() or "no extension"] += 1
    if not found:
        there = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5))
        raise DataError(
            f"{shown(root)}: no images; found {there or 'nothing'}; give a folder of {', '.join(SUFFIXES[:4])} ..."
        )
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def arrange(files: Sequence[Path], root: Path) -> tuple[dict[str, np.ndarray] | None, list[str] | None]:
    """Return (parts, the class of each file) by the folders in which the files are.

    parts: {part: row numbers}, or None without train and test folders; the classes are None in a flat folder
    """
    ways = [file.relative_to(root).parts[:-1] for file in files]
    tops = {way[0] if way else "" for way in ways}
    parts = None
    if "train" in tops and len(tops) > 1 and tops <= set(PARTS):
        rows: dict[str, list[int]] = {}
        for row, way in enumerate(ways):
            rows.setdefault(PARTS[way[0]], []).append(row)
        parts = {part: np.array(numbers) for part, numbers in rows.items()}
        ways = [way[1:] for way in ways]
    is_flat = [not way for way in ways]
    if all(is_flat):
        return parts, None
    if any(is_flat):
        raise DataError(
            f"{shown(files[is_flat.index(True)])}: lies beside the folders of classes; move it into one of them"
        )
    for way in ways:
        require_name(way[0], f"{shown(root)}: the class folder")
    return parts, [way[0] for way in ways]


def read_image(
    path: Path,
    *,
    size: Sequence[int] | None = None,
    mode: str | None = None,
    like: tuple[Path, tuple[int, ...]] | None = None,
) -> tuple[np.ndarray, bytes]:
    """Return an image, (channels, height, width) uint8, and the bytes of its file.

    size, mode: as in `image_folder`; like: (another file, the shape of its image), which this one must have
    """
    length = require_file(path)
    if length > MOST_BYTES:
        raise DataError(f"{shown(path)}: {length} bytes, more than {MOST_BYTES} of an image; make it smaller")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                return _decode(image, path, size, mode, like), content
        except DataError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise _too_large(path, "") from None
        except UnidentifiedImageError:
            raise DataError(
                f"{shown(path)}: not an image, begins with {content[:8]!r}; remove it or save it as one"
            ) from None
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            raise DataError(f"{shown(path)}: a damaged image ({why(error)}); copy it again or remove it") from None


def _decode(
    image: Image.Image,
    path: Path,
    size: Sequence[int] | None,
    mode: str | None,
    like: tuple[Path, tuple[int, ...]] | None,
) -> np.ndarray:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(path, f", {width}x{height}")
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise DataError(f"{shown(path)}: animated, {frames} frames; keep one")
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{shown(path)}: more than 8 bits a pixel, mode {image.mode}; save it with 8")
    wanted = mode or image.mode
    if wanted not in MODES:
        hint = "L" if wanted in ("1", "LA") else "RGB"
        raise DataError(f"{shown(path)}: mode {wanted}, not L or RGB; write options.mode: {hint}, or convert it")
    shape = (MODES[wanted], *(size or (height, width)))
    if like is not None and shape != like[1]:
        if shape[0] != like[1][0]:
            modes = {1: "L", 3: "RGB"}
            raise DataError(
                f"{shown(path)}: mode {wanted}, {shown(like[0])} has {modes[like[1][0]]}; write options.mode: L or RGB"
            )
        raise DataError(
            f"{shown(path)}: {height}x{width} pixels, {shown(like[0])} has {like[1][1]}x{like[1][2]}; "
            f"write options.size: [{like[1][1]}, {like[1][2]}], or resize it"
        )
    if image.mode != wanted:
        image = image.convert(wanted)
    if size is not None and (height, width) != tuple(size):
        image = image.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, 2, 0))


def _check_options(size: Any, mode: Any) -> None:
    if mode is not None and mode not in MODES:
        raise ConfigError(f"options.mode: {mode!r} is not L (grey) or RGB")
    is_size = isinstance(size, (list, tuple)) and len(size) == 2 and all(type(s) is int and s > 0 for s in size)
    if size is not None and not (is_size and size[0] * size[1] <= MOST_PIXELS):
        raise ConfigError(f"options.size: {size!r} is not [height, width] in pixels, such as [32, 32]")


def _check_link(link: Path, root: Path) -> None:
    """Raise DataError if a link is broken, leads out of the folder, or leads to a folder that contains it.

    DVC may link each file into its cache, which is no reason to refuse it.
    """
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        if DVC_CACHE.search(str(link.readlink())):
            raise DataError(f"{shown(link)}: a link into DVC's cache, which lacks the file; run `dvc pull`") from None
        raise DataError(f"{shown(link)}: a link to nowhere or in a circle ({why(error)}); remove it") from None
    if not target.is_relative_to(root) and not DVC_CACHE.search(str(target)):
        raise DataError(f"{shown(link)}: a link out of the folder, to {shown(target)}; copy the file in its place")
    if link.parent.resolve().is_relative_to(target):
        raise DataError(f"{shown(link)}: a link to a folder that holds it, {shown(target)}; remove it")


def _too_large(path: Path, found: str) -> DataError:
    return DataError(f"{shown(path)}: more than {MOST_PIXELS} pixels{found}; make it smaller, or remove it")
