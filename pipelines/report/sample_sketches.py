"""Draws the samples of a training step quickly, without matplotlib, as small pictures.

Images become a grid, pairs of numbers points, single numbers a histogram. The pictures of `pipelines/figures` have axes
and show the data too; these are for a page that is written every few seconds.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.report.thumbnails import Thumbnail, embedded, png

SIDE = 320  # pixels
COLUMNS = 8
POINT = 3  # pixels
BARS = 40
BLUE = (0, 114, 178)  # the first colour of pipelines/figures/style.py


def sketch(path: Path, alt: str) -> Thumbnail:
    """Return a picture of the samples in a .npy file: an array (n, channels, height, width) or (n, columns).

    Raises OSError, ValueError or EOFError if the file is not a whole array.
    """
    samples = np.load(path, allow_pickle=False).astype(np.float64)
    if samples.ndim == 4:
        picture = _grid(samples[: COLUMNS**2])
    else:
        rows = samples.reshape(len(samples), -1)
        rows = rows[np.isfinite(rows).all(axis=1)]
        picture = _points(rows[:, :2]) if rows.shape[1] > 1 else _bars(rows[:, 0])
    return embedded(png(picture), picture.size, alt)


def _grid(images: np.ndarray) -> Image.Image:
    images = np.nan_to_num(images)
    low, high = min(0.0, images.min()), images.max()
    tiles = 255 * (images - low) / ((high - low) or 1.0)
    tiles = tiles if tiles.shape[1] == 3 else tiles[:, :1].repeat(3, axis=1)
    n, channels, height, width = tiles.shape
    rows = -(-n // COLUMNS)
    sheet = np.full((rows * COLUMNS, channels, height + 1, width + 1), 255.0)
    sheet[:n, :, :height, :width] = tiles
    grid = sheet.reshape(rows, COLUMNS, channels, height + 1, width + 1).transpose(0, 3, 1, 4, 2)
    whole = Image.fromarray(grid.reshape(rows * (height + 1), COLUMNS * (width + 1), channels).astype(np.uint8))
    zoom = max(1, round(SIDE / whole.width))
    return whole.resize((whole.width * zoom, whole.height * zoom), Image.Resampling.NEAREST)


def _points(rows: np.ndarray) -> Image.Image:
    pixels = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    if len(rows):
        low, high = np.percentile(rows, [0.5, 99.5], axis=0)
        middle, half = (low + high) / 2, 0.55 * max((high - low).max(), 1e-9)  # the same scale on both axes
        places = ((rows - middle + half) / (2 * half) * (SIDE - POINT)).astype(int)
        for x, y in places[((places >= 0) & (places <= SIDE - POINT)).all(axis=1)]:
            pixels[SIDE - POINT - y : SIDE - y, x : x + POINT] = BLUE
    return Image.fromarray(pixels)


def _bars(values: np.ndarray) -> Image.Image:
    pixels = np.full((SIDE // 2, SIDE, 3), 255, dtype=np.uint8)
    if len(values):
        counts, _ = np.histogram(values, bins=BARS)
        heights = (counts / counts.max() * (SIDE // 2 - 8)).astype(int)
        wide = SIDE // BARS
        for k, height in enumerate(heights):
            pixels[SIDE // 2 - height :, k * wide : (k + 1) * wide - 1] = BLUE
    return Image.fromarray(pixels)
