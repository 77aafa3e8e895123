"""Pictures that show many images: grids, sheets of named rows, pairs. All images of a picture have the same grey scale.

`levels` is the number of grey levels: black is 0 and white is levels - 1. If it is None, black and white are the lowest
and the highest number in all images of the picture. Shapes: n images, c channels, height h, width w.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import image
from matplotlib.figure import Figure

from pipelines.figures.style import DPI, PLAIN, STYLE, TILE_PIXELS, Target, panels_of, save


def image_grid(images: np.ndarray, to: Target, *, levels: int | None, columns: int = 10) -> None:
    """Draw images (n, c, h, w) or (n, h, w) as a grid, row by row from the top, with so many columns."""
    image.imsave(to, mosaic(images, levels=levels, columns=columns), format="png", metadata=PLAIN)


def mosaic(images: np.ndarray, *, levels: int | None, columns: int = 10, tile_pixels: int = TILE_PIXELS) -> np.ndarray:
    """Return the picture that `image_grid` draws, as an array (height, width, 3) uint8.

    images: (n, c, h, w) or (n, h, w); tile_pixels: small images are enlarged until their longer side is about that long
    """
    tiles = tiles_of(images, levels)
    n, height, width, channels = tiles.shape
    columns = max(1, min(columns, n))
    rows = -(-n // columns)
    sheet = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, channels))
    for k, tile in enumerate(tiles):
        top, left = 1 + (k // columns) * (height + 1), 1 + (k % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    zoom = max(1, round(tile_pixels / max(height, width)))
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    coloured = sheet.repeat(3, axis=2) if channels == 1 else sheet
    return np.ascontiguousarray((255 * coloured).round().astype(np.uint8))


def overview(panels: Mapping[str, np.ndarray | Path], to: Target, *, columns: int = 4) -> None:
    """Draw pictures side by side, each under its name.

    panels: {name: a picture, as an array (height, width, 3) or as the path of a PNG}
    """
    with matplotlib.rc_context(STYLE):
        figure, places = panels_of(len(panels), columns=columns, size=(2.6, 2.75))
        for axes, (name, picture) in zip(places, panels.items(), strict=True):
            if isinstance(picture, Path):  # a figure with text, which is made smaller
                axes.imshow(image.imread(picture), interpolation="lanczos")
            else:
                axes.imshow(picture, interpolation="none")
            axes.set_title(name)
            axes.set_axis_off()
        save(figure, to)


def is_image(event_shape: Sequence[int]) -> bool:
    """Return whether rows of this shape are images: whether it has the three axes channels, height and width."""
    return len(event_shape) == 3


def reconstructions(
    originals: np.ndarray, reconstructed: np.ndarray, to: Target, *, levels: int | None, columns: int = 12
) -> None:
    """Draw images as a grid, with each image's reconstruction below it.

    originals, reconstructed: (n, c, h, w) each; an incomplete last row of the grid is left out, unless it is the only
    one
    """
    count = len(originals) - len(originals) % columns or len(originals)
    columns = min(columns, count)
    shape = (count // columns, columns, *originals.shape[1:])
    pairs = np.stack([originals[:count].reshape(shape), reconstructed[:count].reshape(shape)], axis=1)
    image_grid(pairs.reshape(-1, *originals.shape[1:]), to, levels=levels, columns=columns)


def sheet(rows: Mapping[str, np.ndarray], to: Target, *, levels: int | None, title: str, limit: int = 12) -> None:
    """Draw rows of images, each with its name beside it.

    rows: {name of a row, such as "cluster 0": images (n, c, h, w)}; rows without images are left out
    limit: at most so many images of each row are drawn, the first ones
    """
    rows = {name: images[:limit] for name, images in rows.items() if len(images)}
    columns = max(len(images) for images in rows.values())
    tiles = np.split(tiles_of(np.concatenate(list(rows.values())), levels), np.cumsum([len(r) for r in rows.values()]))
    grid = np.concatenate([padded_row(row, columns) for row in tiles[:-1]])
    tall, wide = grid.shape[0] / len(rows), grid.shape[1] / columns
    width, height = 1.7 + 0.52 * columns, 0.4 + 0.52 * len(rows) * tall / wide
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI)
        axes = figure.add_axes((1.6 / width, 0.04 / height, 0.52 * columns / width, (height - 0.4) / height))
        axes.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        for k, name in enumerate(rows):
            axes.text(-0.02 * wide * columns, (k + 0.5) * tall, name, ha="right", va="center", fontsize=8)
        figure.text(0.08 / width, 1 - 0.08 / height, title, va="top", weight="bold", fontsize=10)
        save(figure, to)


def tiles_of(images: np.ndarray, levels: int | None) -> np.ndarray:
    """Return images (n, c, h, w) or (n, h, w) as an array (n, h, w, channels) with values from 0, black, to 1, white.

    Images with neither 1 nor 3 channels are shown by their first channel.
    """
    images = np.asarray(images, dtype=np.float64)
    images = images[:, None] if images.ndim == 3 else images
    if levels is None:
        low, high = images.min(), images.max()
        scaled = (images - low) / (high - low if high > low else 1.0)
    else:
        scaled = images / (levels - 1)
    channels = images.shape[1]
    scaled = scaled if channels in (1, 3) else scaled[:, :1]
    return np.clip(scaled, 0.0, 1.0).transpose(0, 2, 3, 1)


def padded_row(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Put tiles (n, h, w, channels) side by side into one row of a sheet, with a white line after each.

    Returns an array (h + 1, columns * (w + 1), channels); columns: at least n, the rest of the row is white
    """
    n, height, width, channels = tiles.shape
    row = np.ones((columns, height + 1, width + 1, channels))
    row[:n, :height, :width] = tiles
    return row.transpose(1, 0, 2, 3).reshape(height + 1, columns * (width + 1), channels)
