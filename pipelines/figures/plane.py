"""Pictures of points and densities in the plane."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from pipelines.figures.style import (
    AROUND,
    COLOURS,
    MARKERS,
    STYLE,
    Points,
    Target,
    extent,
    heading,
    panels_of,
    save,
    word,
)


def scatter(layers: Points, to: Target, *, x_label: str = "x0", y_label: str = "x1", title: str = "") -> None:
    """Draw a panel for each set of points, all with the same axes.

    layers: {title of a panel, such as "test data": points (n, 2)}
    """
    everything = np.concatenate([points[np.isfinite(points).all(axis=1)] for points in layers.values()])
    low, high = extent(everything)
    with matplotlib.rc_context(STYLE):
        figure, panels = panels_of(len(layers), columns=len(layers), size=(3.4, 3.3))
        for axes, colour, (name, points) in zip(panels, COLOURS, layers.items(), strict=False):
            axes.scatter(points[:, 0], points[:, 1], s=6, alpha=0.5, color=colour, linewidths=0, rasterized=True)
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=x_label, ylabel=y_label, title=name)
        if title:
            figure.suptitle(title)
        save(figure, to)


def classes(points: np.ndarray, labels: np.ndarray, to: Target, *, x_label: str, y_label: str, title: str) -> None:
    """Draw points (n, 2), coloured by class; labels: the class of each point, (n,)."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = panels_of(1, size=(4.8, 4.0))
        _classes(axes, points, labels, size=16)
        axes.set(xlabel=x_label, ylabel=y_label, title=title)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.6)
        save(figure, to)


def flow_of_the_plane(x: np.ndarray, z: np.ndarray, to: Target, *, labels: np.ndarray | None, title: str) -> None:
    """Draw points x (n, 2) and, in a second panel, the points z (n, 2) to which a flow maps them, in the same colours.

    labels: the class of each point, (n,), which gives its colour; None: the colour is the angle of x around the mean
    """
    with matplotlib.rc_context(STYLE):
        figure, panels = panels_of(2, columns=2, size=(4.3, 3.9))
        heading(figure, title)
        for axes, points, name in zip(panels, (x, z), "xz", strict=True):
            if labels is None:
                angle = np.degrees(np.arctan2(*(x - x.mean(axis=0)).T[::-1]))
                look: dict[str, Any] = {"cmap": AROUND, "vmin": -180, "vmax": 180}
                shown = axes.scatter(points[:, 0], points[:, 1], c=angle, s=7, alpha=0.8, linewidths=0, **look)
            else:
                _classes(axes, points, labels, size=7)
            low, high = extent(points)
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=f"{name}1", ylabel=f"{name}2")
            axes.set_title("test rows x" if name == "x" else "z = f(x)")
        if labels is None:
            bar = figure.colorbar(shown, ax=panels, label="angle of x around the mean, degrees")
            bar.set_ticks([-180, -90, 0, 90, 180])
        else:
            panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2.0)
        save(figure, to)


def density(
    grid: np.ndarray, extent: tuple[float, float, float, float], points: np.ndarray, to: Target, *, title: str
) -> None:
    """Draw a log density in the plane as colours, with points (n, 2) on top.

    grid: log p(x) in nats on a grid; a row of the array has one value of x1, the lowest first, a column one of x0
    extent: (lowest x0, highest x0, lowest x1, highest x1) of the grid
    """
    top = float(np.max(grid[np.isfinite(grid)], initial=-np.inf))
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure, (axes,) = panels_of(1, size=(4.9, 4.0))
        # eight nats below the top is a factor of 3000: lower densities look empty
        shown = axes.imshow(grid, origin="lower", extent=extent, aspect="auto", cmap="viridis", vmin=top - 8, vmax=top)
        axes.scatter(points[:, 0], points[:, 1], s=5, color="white", alpha=0.6, linewidths=0)
        axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="x0", ylabel="x1", title=title)
        figure.colorbar(shown, ax=axes, label="log p(x), nats", extend="min")
        save(figure, to)


def _classes(axes: Axes, points: np.ndarray, labels: np.ndarray, *, size: float) -> None:
    for k, label in enumerate(np.unique(labels)):
        kept, colour, marker = points[labels == label], COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        look: dict[str, Any] = {"s": size, "alpha": 0.8, "color": colour, "marker": marker, "linewidths": 0}
        axes.scatter(kept[:, 0], kept[:, 1], label=word(label), **look)
