"""Reads masks, images that show where a defect is, as pixels 0 or 1, and finds the image to which each belongs.

image                    its mask
test/scratch/000.png     ground_truth/scratch/000_mask.png, or ground_truth/scratch/000.png
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gen_models.errors import DataError
from pipelines.data.sources.files import shown
from pipelines.data.sources.image_colours import Look, convert
from pipelines.data.sources.image_decoding import load, pillow_errors, read_content

ENDINGS = ("", "_mask", "-mask", "_gt", "_ground_truth")
HALF = 128  # in a JPEG, black is only nearly black, so darker pixels are no defect

Place = tuple[tuple[str, ...], str]  # the folders within a part, and the name without its ending


def masks_of(masks: Sequence[tuple[tuple[str, ...], Path]], rows: Mapping[Place, int]) -> dict[int, Path]:
    """Return {index of a row: the file of its mask}.

    masks: (the names of the folders inside the folder of masks, the file) of each mask; rows: {(the names of the
    folders within a part, the file's name without its ending): index of the row} of the images

    Raises DataError for a mask without its image, and for two masks of one image.
    """
    found: dict[int, Path] = {}
    for folders, file in masks:
        stems = [file.stem.removesuffix(ending) for ending in ENDINGS if file.stem.endswith(ending)]
        row = next((rows[folders, stem] for stem in stems if (folders, stem) in rows), None)
        if row is None:
            wanted = "/".join(("test", *folders, stems[-1]))
            raise DataError(
                f"{shown(file)}: a mask without its image; expected {shown(wanted)}.png or the like, or remove the mask"
            )
        if row in found:
            raise DataError(f"{shown(file)}: a second mask of an image that has {shown(found[row])}; remove it or that")
        found[row] = file
    return found


def read_mask(path: Path, image: Path, own: tuple[int, int], size: tuple[int, int] | None) -> tuple[np.ndarray, bytes]:
    """Return (the mask (height, width) uint8, 1 where the file's pixel is not black, the bytes of the file).

    path   the file of the mask
    image  the file of the image to which the mask belongs
    own    the image's (height, width) before it was resized
    size   the (height, width) to which image and mask are resized, or None

    Raises DataError if the mask cannot be read or does not have the size of its image.
    """
    content = read_content(path)
    with pillow_errors(path, content):
        loaded, _ = load(content, path)
        is_jpeg = content.startswith(b"\xff\xd8")
        if loaded.mode.startswith(("I", "F")):  # a conversion to 8 bits would take small labels for black
            pixels = np.asarray(loaded)
        else:
            pixels = np.asarray(convert(loaded, Look(mode="RGB", background="#000000"), shown(path)).image).max(axis=2)
    if pixels.shape != own:
        height, width = pixels.shape
        raise DataError(
            f"{shown(path)}: a mask of {height}x{width} pixels, its image {shown(image)} has {own[0]}x{own[1]}; "
            "save it with the size of its image"
        )
    mask = (pixels >= HALF if is_jpeg else pixels > 0).astype(np.uint8)
    if size is not None and pixels.shape != tuple(size):
        mask = np.asarray(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))
    return mask, content
