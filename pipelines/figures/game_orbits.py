"""Pictures of toy games in which each of two players (like a GAN's generator and critic) changes one number, x or y.

An order of play says whether the players step at the same time or in turn. The equilibrium is at (0, 0).
"""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pipelines.figures.style import COLOURS, DASHES, DPI, INK, STYLE, Target, heading, save

WINDOW = 2.6  # the plane is shown from -WINDOW to WINDOW in x and y


def orders_of_play(plays: Mapping[str, np.ndarray], to: Target, *, title: str) -> None:
    """Draw, for each order of play, the points (x, y) that it visits, and below its distances to the equilibrium.

    plays: {name of an order of play: points (steps + 1, 2), the start first}

    The distances of all orders share one panel with a log scale. Points farther than WINDOW from 0 in x or y are seen
    only there.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 6.0), dpi=DPI, layout="constrained")
        heading(figure, title)
        grid = figure.add_gridspec(2, len(plays), height_ratios=(1.0, 1.25))
        below = figure.add_subplot(grid[1, :])
        for k, (order, points) in enumerate(plays.items()):
            look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)]}
            axes = figure.add_subplot(grid[0, k])
            axes.plot(points[:, 0], points[:, 1], linewidth=0.8, alpha=0.8, **look)
            axes.scatter(points[:, 0], points[:, 1], s=4, linewidths=0, **look)
            axes.scatter(points[0, 0], points[0, 1], s=26, facecolors="white", edgecolors=INK, zorder=3)
            axes.scatter(0, 0, s=45, marker="+", color=INK, zorder=3)
            axes.set(xlim=(-WINDOW, WINDOW), ylim=(-WINDOW, WINDOW), xlabel="x", title=order, aspect="equal")
            axes.set(ylabel="y" if k == 0 else "")
            distances = np.hypot(*points.T)
            below.plot(distances, label=order, linestyle=DASHES[k % len(DASHES)], linewidth=1.4, **look)
        below.set_yscale("log")
        below.set(xlabel="step (minibatches)", ylabel="distance to the equilibrium", xlim=(0, len(points) - 1))
        below.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="order of play")
        save(figure, to)
