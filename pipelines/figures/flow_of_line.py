"""Pictures of one-dimensional data: histograms, and flows (invertible maps of the data to latents) on the line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.figures.style import (
    COLOURS,
    DASHES,
    DPI,
    GREY,
    INK,
    STYLE,
    Points,
    Target,
    extent,
    heading,
    panels_of,
    save,
)


def histogram(layers: Points, to: Target, *, x_label: str = "x", title: str = "") -> None:
    """Draw the histograms of several sets of numbers in one panel, as outlines with the same bins.

    layers: {name of a set: numbers (n,)}
    """
    everything = np.concatenate([values[np.isfinite(values)] for values in layers.values()])
    bins = np.histogram_bin_edges(everything, bins=60)
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = panels_of(1, size=(4.8, 3.2))
        for colour, dashes, (name, values) in zip(COLOURS, DASHES, layers.items(), strict=False):
            axes.hist(
                values,
                bins=list(bins),
                density=True,
                histtype="step",
                color=colour,
                linestyle=dashes,
                linewidth=1.6,
                label=name,
            )
        axes.set(xlabel=x_label, ylabel="density", title=title)
        axes.legend()
        save(figure, to)


@dataclass(frozen=True)
class LineFlow:
    """A flow z = f(x) of one-dimensional data, evaluated on a grid of points x.

    x, density    the grid (points,), and the model's density p(x) at each of its points
    z, z_density  the latent z = f(x) of each point of the grid, and the density p(z) there
    latents       the latents f(x) of rows of data, (rows,)
    """

    x: np.ndarray
    density: np.ndarray
    z: np.ndarray
    z_density: np.ndarray
    latents: np.ndarray


def line_flows(
    stages: Mapping[str, LineFlow], data: np.ndarray, to: Target, *, truth: np.ndarray | None, title: str
) -> None:
    """Draw three panels for each stage of a flow: p(x), the map x -> z, and p(z) with a histogram of data's latents.

    stages: {name, such as "before training": the flow at this stage}
    data: the rows of data, (rows,), whose latents each stage holds
    truth: the true density of the data at the grid's points, (points,), or None if it is unknown

    Panels of one kind have the same axes at all stages, so that the stages can be compared.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.6, 2.9 * len(stages) + 0.3), dpi=DPI, layout="constrained")
        grid = figure.subplots(len(stages), 3, squeeze=False, sharex="col", sharey="col")
        heading(figure, title)
        for (density_of_x, map_to_z, density_of_z), (name, flow) in zip(grid, stages.items(), strict=True):
            _filled(density_of_x, data, "data")
            if truth is not None:
                density_of_x.plot(flow.x, truth, color=INK, linestyle="--", label="true density")
            density_of_x.plot(flow.x, flow.density, color=COLOURS[0], label="model")
            density_of_x.set(title=f"{name}: density of x", xlabel="x", ylabel="p(x)")
            map_to_z.plot(flow.x, flow.z, color=COLOURS[0])
            map_to_z.set(title="flow x \u2192 z", xlabel="x", ylabel="z = f(x)")
            _filled(density_of_z, flow.latents, "data")
            density_of_z.plot(flow.z, flow.z_density, color=COLOURS[3], label="base of the flow")
            density_of_z.set(title="z of the data", xlabel="z", ylabel="p(z)")
            for axes in (density_of_x, map_to_z, density_of_z):
                axes.tick_params(labelbottom=True)
        everything = np.concatenate([flow.latents for flow in stages.values()])
        low, high = extent(everything[np.isfinite(everything), None])
        grid[0, 2].set_xlim(low[0], high[0])
        for axes in grid[0, (0, 2)]:
            axes.set_ylim(bottom=0)
        looks: dict[str, Any] = {}
        for axes in grid[0, (0, 2)]:
            handles, names = axes.get_legend_handles_labels()
            looks |= dict(zip(names, handles, strict=True))
        figure.legend(looks.values(), looks.keys(), loc="outside upper right", ncols=len(looks))  # no panel has room
        save(figure, to)


def _filled(axes: Axes, values: np.ndarray, name: str) -> None:
    """Draw a grey histogram of values, normalised to a density, as a background for the lines of a panel."""
    kept = values[np.isfinite(values)]
    axes.hist(kept, bins=60, density=True, color=GREY, alpha=0.45, label=name)
