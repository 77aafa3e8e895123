"""Samples as the shape of the data allows."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pipelines.figures.images import image_grid, is_image, mosaic
from pipelines.figures.line import histogram
from pipelines.figures.plane import scatter
from pipelines.figures.style import COLOURS, STYLE, Target, extent, panels_of


def draws(samples: np.ndarray, data: np.ndarray, to: Target, *, levels: int | None) -> None:
    """Samples as their shape allows: images as a grid, numbers and pairs beside data, longer rows by the data's PCA."""
    if is_image(samples.shape[1:]):
        image_grid(samples[:100], to, levels=levels)
        return
    samples, data = samples.reshape(len(samples), -1), data.reshape(len(data), -1)
    if samples.shape[1] == 1:
        histogram({"data": data[:, 0], "samples": samples[:, 0]}, to)
    elif samples.shape[1] == 2:
        scatter({"data": data, "samples": samples}, to)
    else:
        centre, scale = data.mean(axis=0), np.where(data.std(axis=0) > 0, data.std(axis=0), 1.0)
        axes = np.linalg.svd((data - centre) / scale, full_matrices=False)[2][:2]
        layers = {name: (rows - centre) / scale @ axes.T for name, rows in (("data", data), ("samples", samples))}
        scatter(layers, to, x_label="data's first component", y_label="data's second component")


def step_picture(folder: Path, step: int, dataset: Any) -> np.ndarray | None:
    """The samples of a training's step as (height, width, 3) uint8; None where there are none or no picture of them."""
    path = folder / "samples" / f"step_{step:08d}.npy"
    if not path.is_file():
        return None
    samples = np.load(path, allow_pickle=False)
    if is_image(dataset.event_shape):
        return mosaic(samples, levels=dataset.levels, columns=8)
    if dataset.event_shape != (2,):
        return None
    low, high = extent(np.asarray(dataset.x("validation")[:2000]))  # of data: the same window at every step
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = panels_of(1, size=(3.4, 3.3))
        axes.scatter(samples[:, 0], samples[:, 1], s=10, alpha=0.7, color=COLOURS[0], linewidths=0)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="x1", ylabel="x2", title=f"step {step}")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[:, :, :3]
