"""Draws samples: as a grid of images, a histogram or points in the plane, depending on the shape of a row."""

import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pipelines.figures.flow_of_line import histogram
from pipelines.figures.image_grids import image_grid, is_image, mosaic
from pipelines.figures.plane import scatter
from pipelines.figures.style import COLOURS, GREY, STYLE, TILE_PIXELS, Target, extent, panels_of

STEP_ROWS = 1000  # rows of data that are drawn behind the samples of a step


def draws(samples: np.ndarray, data: np.ndarray, to: Target, *, levels: int | None) -> None:
    """Draw samples, in a way that depends on the shape of a row: images as a grid, all other rows beside data.

    Rows of one number are drawn as histograms and rows of two numbers as points. Rows of more numbers are projected on
    the two directions in which the data vary most, and then drawn as points. There are at most as many points as rows
    of data: among more of them, more would lie far out.

    samples: (n, *event); data: rows of data, (rows, *event); levels: number of grey levels, None for continuous data
    """
    if is_image(samples.shape[1:]):
        image_grid(samples[:100], to, levels=levels)
        return
    samples, data = samples.reshape(len(samples), -1), data.reshape(len(data), -1)
    if samples.shape[1] == 1:
        histogram({"data": data[:, 0], "samples": samples[:, 0]}, to)
    elif samples.shape[1] == 2:
        scatter({"data": data, "samples": samples[: len(data)]}, to)
    else:
        scatter(
            dict(zip(("data", "samples"), _along_widest(data, samples[: len(data)]), strict=True)),
            to,
            x_label="data's first component",
            y_label="data's second component",
        )


def step_picture(folder: Path, step: int, dataset: Any, *, tile_pixels: int = TILE_PIXELS) -> np.ndarray | None:
    """Return a picture (height, width, 3) uint8 of the samples that a training kept at a step; None if it kept none.

    Images are drawn as a grid. Other rows are drawn in colour over validation rows in grey, in a window that is the
    same at every step; rows of more than two numbers are projected on the two directions in which the data vary most.

    folder: of the training, with samples/; dataset: the prepared data set; tile_pixels: the size of an image in a grid
    """
    path = folder / "samples" / f"step_{step:08d}.npy"
    if not path.is_file():
        return None
    samples = np.load(path, allow_pickle=False)
    if is_image(dataset.event_shape):
        return mosaic(samples, levels=dataset.levels, columns=8, tile_pixels=tile_pixels)
    data = np.asarray(dataset.x("validation")[:STEP_ROWS], dtype=np.float64).reshape(-1, math.prod(dataset.event_shape))
    samples, (x_label, y_label) = samples.reshape(len(samples), -1), ("x0", "x1")
    if data.shape[1] > 2:
        data, samples = _along_widest(data, samples)
        x_label, y_label = "data's first component", "data's second component"
    low, high = extent(data)
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = panels_of(1, size=(3.4, 3.3))
        axes.set(xlabel=x_label, title=f"step {step}")
        if data.shape[1] == 1:
            bins = list(np.linspace(low[0], high[0], 31))
            heights, *_ = axes.hist(data[:, 0], bins=bins, density=True, color=GREY, alpha=0.45)
            axes.hist(samples[:, 0], bins=bins, density=True, histtype="step", color=COLOURS[0], linewidth=1.6)
            axes.set(xlim=(low[0], high[0]), ylim=(0, 2 * float(np.max(heights))), ylabel="density", xlabel="x")
        else:
            axes.scatter(data[:, 0], data[:, 1], s=4, alpha=0.25, color=GREY, linewidths=0)
            axes.scatter(samples[:, 0], samples[:, 1], s=10, alpha=0.8, color=COLOURS[0], linewidths=0)
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), ylabel=y_label)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[:, :, :3]


def _along_widest(data: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return data and samples, (rows, 2) each, projected on the two directions in which the data vary most.

    Both are first standardised by the mean and the standard deviation of the data.
    """
    centre, scale = data.mean(axis=0), np.where(data.std(axis=0) > 0, data.std(axis=0), 1.0)
    axes = np.linalg.svd((data - centre) / scale, full_matrices=False)[2][:2]
    return (data - centre) / scale @ axes.T, (samples - centre) / scale @ axes.T
