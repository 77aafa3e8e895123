"""Rows as one picture in a format that everybody has: what a PNG or a JPEG of all of them costs and loses.

One picture for all rows, tiles side by side and nearly square: a file for each row would be mostly header. JPEG works
in blocks of 8 x 8, which tiles of another size do not meet, so that edges of tiles cost it some bits.
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
    """Grey or RGB, on at most 256 levels."""
    return levels is not None and levels <= WHITE + 1 and len(event_shape) == 3 and event_shape[0] in (1, 3)


def png(x: Float[Tensor, "rows channels height width"]) -> bytes:
    """Without loss: levels as they are, the lowest 0."""
    return _saved(mosaic(x.numpy().astype(np.uint8)), "png", optimize=True)


def jpeg(x: Float[Tensor, "rows channels height width"], levels: int, quality: int) -> tuple[bytes, Tensor]:
    """The file, black to white on 0 .. 255, and the rows that come back, as stored: between the levels."""
    tiles = (x.numpy() * (WHITE / (levels - 1))).round().astype(np.uint8)
    data = _saved(mosaic(tiles), "jpeg", quality=quality, optimize=True)
    with Image.open(io.BytesIO(data)) as image:
        back = tiles_of(np.asarray(image), x.shape)
    return data, torch.from_numpy(back.astype(np.float32)) * ((levels - 1) / WHITE)


def mosaic(tiles: UInt8[np.ndarray, "rows channels height width"]) -> np.ndarray:
    """(height, width) or (height, width, 3); places without a row are black."""
    n, channels, height, width = tiles.shape
    columns = _columns(n)
    lines = -(-n // columns)
    places = np.zeros((lines * columns, channels, height, width), dtype=tiles.dtype)
    places[:n] = tiles
    grid = places.reshape(lines, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    picture = grid.reshape(lines * height, columns * width, channels)
    return picture[:, :, 0] if channels == 1 else picture


def tiles_of(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `mosaic`; shape: of the tiles."""
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
