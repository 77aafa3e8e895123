"""Draws the samples of a sweep's trials side by side. A sweep trains a model with several settings, the trials."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import matplotlib
import numpy as np

from pipelines.figures.image_grids import is_image, mosaic
from pipelines.figures.style import COLOURS, STYLE, Target, extent, panels_of, save

IMAGES = 36  # images of each trial, in a square
LINE = 34  # letters of a line of a label


def trial_samples(samples: Mapping[str, np.ndarray], to: Target, *, levels: int | None, columns: int = 4) -> None:
    """Draw a panel of samples for each trial, all with the same axes.

    samples: {label of a trial, such as its setting: its samples (n, *event)}
    levels: the number of grey levels of images, or None for continuous pixels

    Images are drawn as a grid, rows of one number as a histogram, and other rows as points: those of two numbers as
    they are, longer ones by the first two principal components of all samples, whose columns are standardised.
    """
    first = next(iter(samples.values()))
    with matplotlib.rc_context(STYLE):
        figure, panels = panels_of(len(samples), columns=min(columns, len(samples)), size=(2.6, 2.85))
        figure.set_layout_engine("constrained", h_pad=0.1)
        points = [np.asarray(one, dtype=float).reshape(len(one), -1) for one in samples.values()]
        points = [one[:, :2] for one in points] if is_image(first.shape[1:]) else _in_a_plane(points)
        together = np.concatenate(points)
        low, high = extent(together[np.isfinite(together).all(axis=1)])
        bins = list(np.linspace(low[0], high[0], 25))
        for axes, (label, drawn), flat in zip(panels, samples.items(), points, strict=True):
            axes.set_title("\n".join(wrap(label, LINE)), fontsize=7.5)
            if is_image(first.shape[1:]):
                axes.imshow(mosaic(drawn[:IMAGES], levels=levels, columns=6), interpolation="none")
                axes.set_axis_off()
            elif flat.shape[1] == 1:
                axes.hist(flat[:, 0], bins=bins, color=COLOURS[0])
            else:
                axes.scatter(flat[:, 0], flat[:, 1], s=10, alpha=0.8, color=COLOURS[0], linewidths=0)
                axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        save(figure, to)


def _in_a_plane(samples: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return samples (n, numbers) as points (n, 2), or (n, 1) for rows of one number; see `trial_samples`."""
    if samples[0].shape[1] <= 2:
        return list(samples)
    together = np.concatenate(samples)
    is_finite = np.isfinite(together).all(axis=1)
    rows = together[is_finite]
    spread = rows.std(axis=0) if len(rows) else np.zeros(together.shape[1])
    rows = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    _, _, directions = np.linalg.svd(rows, full_matrices=False)
    points = np.full((len(together), 2), np.nan)  # a row that is not finite is not drawn
    points[is_finite] = (rows @ directions[:2].T)[:, :2] if len(directions) > 1 else 0.0
    return np.split(points, np.cumsum([len(one) for one in samples])[:-1])
