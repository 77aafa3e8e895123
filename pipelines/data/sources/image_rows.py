"""Reads new images, one after another, as rows for a model that was trained on images.

If a file cannot be read, or does not have the model's shape, its row reports the problem, and the other rows are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import DataError
from pipelines.data.sources.files import name_of, require_there, shown
from pipelines.data.sources.image_colours import CHANNELS, Look, require_look
from pipelines.data.sources.image_decoding import read_image, require_size
from pipelines.data.sources.image_files import find_images
from pipelines.data.sources.image_layout import require_no_masks_inside, split_masks

Row = tuple[str, np.ndarray | None, str]


def read_images_like(path: Path, event_shape: Sequence[int], *, options: Mapping[str, Any]) -> Iterator[Row]:
    """Return an iterator that yields (name, row, problem) for each image.

    path         an image, or a folder of any layout, whose images come sorted by their paths
    event_shape  (channels, height, width) of the model's rows
    options      the `options:` of the training data, from conf/data/NAME.yaml

    A name is the path within the folder. A row is (channels, height, width) uint8, and its problem is ""; if an image
    has a problem, its row is None. Images are converted and resized by `options`, as the training's images were.

    Raises DataError before any image is read if the path is missing or has no images, or if the model's rows are not
    images.
    """
    shape = tuple(event_shape)
    mode = next((mode for mode, channels in CHANNELS.items() if len(shape) == 3 and shape[0] == channels), None)
    if mode is None:
        raise DataError(
            f"{shown(path)}: images, but the model's rows are {'x'.join(map(str, shape))}; "
            "give rows of the kind that it was trained on"
        )
    look = require_look(mode, options.get("background"), options.get("bits"))
    size = require_size(options.get("size"))
    root, files = _files(path)
    return (_row(file, root, shape, size, look) for file in files)


def count_images(path: Path) -> int:
    """Return how many rows `read_images_like` will give."""
    return len(_files(path)[1])


def _files(path: Path) -> tuple[Path, list[Path]]:
    """Return (the folder to which the names of images are relative, the images)."""
    require_there(path)
    if not path.is_dir():
        return path.parent, [path]
    images, _ = split_masks(find_images(path))
    require_no_masks_inside(images, path)
    return path, [file for _, file in images]


def _row(file: Path, root: Path, shape: tuple[int, ...], size: tuple[int, int] | None, look: Look) -> Row:
    name = name_of(file, root)
    try:
        picture = read_image(file, size=size, look=look)
    except DataError as error:
        return name, None, str(error)
    if picture.pixels.shape != shape:
        height, width = picture.pixels.shape[1:]
        problem = (
            f"{height}x{width} pixels, the model takes {shape[1]}x{shape[2]}; resize it, or train with options.size"
        )
        return name, None, f"{shown(file)}: {problem}"
    return name, picture.pixels, ""
