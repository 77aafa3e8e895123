"""Saves all images of a data set as one PNG or JPEG picture, as baselines of compression.

The picture is a nearly square grid with a tile for each image: a file for each image would be mostly header. JPEG works
in blocks of 8 x 8 pixels; tiles of another size cross the blocks, so their edges cost JPEG some bits.
"""

import io
import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

WHITE = 255


def can_be_pictured(event_shape: tuple[int, ...], levels: int | None) -> bool:
    """Return whether rows can be saved as a picture: grey or RGB images with at most 256 grey levels.

    event_shape: the shape of a row; levels: the number of grey levels, or None for continuous data
    """
    return levels is not None and levels <= WHITE + 1 and len(event_shape) == 3 and event_shape[0] in (1, 3)


def png(x: Float[Tensor, "rows channels height width"]) -> bytes:
    """Return all images as one PNG file, without loss. A pixel of the file is the grey level itself, unscaled.

    x: grey levels, whole numbers from 0 to at most 255
    """
    return _saved(mosaic(x.numpy().astype(np.uint8)), "png", optimize=True)


def jpeg(x: Float[Tensor, "rows channels height width"], levels: int, quality: int) -> tuple[bytes, Tensor]:
    """Return (file, decoded): all images as one JPEG file, and the images that are read back from it.

    x        grey levels, whole numbers 0 .. levels - 1, which are spread over 0 .. 255 before they are saved
    quality  Pillow's setting of JPEG's quality, from 0 to 95
    decoded  has the shape and the scale of x, but its numbers are not whole
    """
    tiles = (x.numpy() * (WHITE / (levels - 1))).round().astype(np.uint8)
    data = _saved(mosaic(tiles), "jpeg", quality=quality, optimize=True)
    with Image.open(io.BytesIO(data)) as image:
        back = tiles_of(np.asarray(image), x.shape)
    return data, torch.from_numpy(back.astype(np.float32)) * ((levels - 1) / WHITE)


def mosaic(tiles: UInt8[np.ndarray, "rows channels height width"]) -> np.ndarray:
    """Put tiles into a nearly square grid; return the picture, (height, width) if it is grey, else (height, width, 3).

    Cells of the grid that are left without a tile are 0.
    """
    n, channels, height, width = tiles.shape
    columns = _columns(n)
    lines = -(-n // columns)
    places = np.zeros((lines * columns, channels, height, width), dtype=tiles.dtype)
    places[:n] = tiles
    grid = places.reshape(lines, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    picture = grid.reshape(lines * height, columns * width, channels)
    return picture[:, :, 0] if channels == 1 else picture


def tiles_of(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cut a picture into its tiles, which is the inverse of `mosaic`; return an array of the given shape.

    shape: (number of tiles, channels, height of a tile, width of a tile)
    """
    n, channels, height, width = shape
    columns = _columns(n)
    grid = picture.reshape(-1, height, columns, width, channels).transpose(0, 2, 4, 1, 3)
    return grid.reshape(-1, channels, height, width)[:n]


def _columns(n: int) -> int:
    return max(1, math.ceil(math.sqrt(n)))


def _saved(picture: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()
