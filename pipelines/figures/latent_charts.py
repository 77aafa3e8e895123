"""Pictures of latents: rows of decoded images, a map of decoded images over two latents, a chart of each latent's KL.

The KL of a latent z is KL(q(z|x) || p(z)) in nats, averaged over rows x. Images are decoded rows, (n, c, h, w): c
channels, height h, width w. `levels` is their number of grey levels, or None for continuous pixels.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipelines.figures.image_grids import mosaic
from pipelines.figures.style import COLOURS, DPI, GREY, STYLE, Target, heading, save

INCHES = 0.52  # the width of an image
USES = {"active": COLOURS[0], "not active": GREY, "collapsed to the prior": COLOURS[3]}


def traversal(
    rows: Mapping[str, np.ndarray],
    columns: Sequence[str],
    own: Sequence[int],
    to: Target,
    *,
    levels: int | None,
    title: str,
    x_label: str,
) -> None:
    """Draw a row of images for each latent, with a column for each value that the latent takes, all on one grey scale.

    rows: {name of a row: images (columns, c, h, w)}; columns: the names of the columns
    own: for each row, the index of the column whose image gets a frame: the latent has its own value there
    """
    images = np.concatenate(list(rows.values()))
    _decoded(images, to, levels=levels, title=title, x=columns, y=list(rows), x_label=x_label, framed=own)


def latent_map(
    images: np.ndarray,
    x: Sequence[str],
    y: Sequence[str],
    to: Target,
    *,
    levels: int | None,
    title: str,
    x_label: str,
    y_label: str,
) -> None:
    """Draw a grid of decoded images over the values of two latents, all on one grey scale.

    images: (rows * columns, c, h, w), row by row, the top row first
    x: the names of the columns, from the left; y: the names of the rows, from the top
    """
    _decoded(images, to, levels=levels, title=title, x=x, y=y, x_label=x_label, y_label=y_label)


def latent_kl(names: Sequence[str], kl_nats: np.ndarray, uses: Sequence[str], to: Target, *, title: str) -> None:
    """Draw a bar for the KL of each latent, in the given order.

    names: of the latents; kl_nats: (latents,); uses: for each latent one of the keys of USES, which gives its colour
    """
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(min(9.0, max(4.2, 1.6 + 0.27 * len(names))), 3.0), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(names))
        for use, colour in USES.items():
            shown = np.array([it == use for it in uses])
            if shown.any():
                axes.bar(places[shown], kl_nats[shown], color=colour, label=f"{use}: {shown.sum()}", width=0.8)
        axes.set_xticks(places, names, fontsize=8 if len(names) <= 32 else 5)
        axes.set(xlabel="latent", ylabel="KL(q(z|x) || p(z)), nats", ylim=(0, 1.08 * max(0.05, float(kl_nats.max()))))
        axes.margins(x=0.01)
        axes.legend()
        heading(figure, title)
        save(figure, to)


def _decoded(
    images: np.ndarray,
    to: Target,
    *,
    levels: int | None,
    title: str,
    x: Sequence[str],
    y: Sequence[str],
    x_label: str,
    y_label: str = "",
    framed: Sequence[int] = (),
) -> None:
    """Draw images as a grid, row by row from the top, with names below the columns and beside the rows.

    x, y: the names of columns and rows
    framed: for each row, the index of the column whose image gets a frame; () for no frames
    """
    columns, rows = len(x), len(y)
    grid = mosaic(images, levels=levels, columns=columns)
    left = 0.3 + 0.075 * max(len(name) for name in y) + (0.2 if y_label else 0.0)
    wide = INCHES * columns
    tall = wide * grid.shape[0] / grid.shape[1]
    width, height = left + wide + 0.1, 0.35 + tall + 0.5
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(width, height), dpi=DPI)
        axes = figure.add_axes((left / width, 0.5 / height, wide / width, tall / height))
        axes.imshow(grid, interpolation="nearest", aspect="auto", extent=(0, columns, rows, 0))
        for row, column in enumerate(framed):
            axes.add_patch(Rectangle((column, row), 1, 1, fill=False, color=COLOURS[1], linewidth=1.6, clip_on=False))
        axes.set_xticks(np.arange(columns) + 0.5, x, fontsize=8)
        axes.set_yticks(np.arange(rows) + 0.5, y, fontsize=8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel=x_label, ylabel=y_label)
        figure.text(0.08 / width, 1 - 0.08 / height, title, va="top", weight="bold", fontsize=10)
        save(figure, to)
