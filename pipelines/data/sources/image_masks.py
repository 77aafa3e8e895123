"""Masks that show where a defect is: which image each belongs to, and its pixels, 0 or 1.

test/scratch/000.png     ground_truth/scratch/000_mask.png, or 000.png
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
HALF = 128  # JPEG makes the black of a mask nearly black

Place = tuple[tuple[str, ...], str]  # the folders within a part, and the name without its ending


def masks_of(masks: Sequence[tuple[tuple[str, ...], Path]], rows: Mapping[Place, int]) -> dict[int, Path]:
    """Return {row: its mask}. Raises DataError for a mask without its image, and for two masks of one image.

    masks: (the folders inside the folder of masks, the file); rows: {place: row number} of the images
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
    """Return (the mask (height, width) uint8, 1 where the file's pixel is not black, and the bytes of its file).

    image, own: the image that it belongs to and its (height, width); size: to which both are resized, or None

    Raises DataError if the file cannot be read or is of another size than its image.
    """
    content = read_content(path)
    with pillow_errors(path, content):
        loaded, _ = load(content, path)
        is_jpeg = content.startswith(b"\xff\xd8")
        seen = convert(loaded, Look(mode="RGB", background="#000000"), shown(path)).image
    pixels = np.asarray(seen).max(axis=2)
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
