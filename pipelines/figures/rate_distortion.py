"""Draws rate-distortion curves of compression methods: the size of a file against the error of the decoded rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipelines.figures.style import COLOURS, DASHES, GREY, INK, MARKERS, STYLE, Target, panels_of, save

BESIDE: dict[str, dict[str, Any]] = {  # the baselines, in greys
    "pca": {"color": GREY, "linestyle": "-", "marker": ".", "label": "PCA"},
    "jpeg": {"color": GREY, "linestyle": "--", "marker": "x", "label": "JPEG, one picture"},
    "png": {"color": INK, "linestyle": "none", "marker": "|", "markersize": 14, "label": "PNG, one picture"},
}


def rate_distortion(rows: Sequence[Mapping[str, Any]], to: Target, *, title: str) -> None:
    """Draw the squared error against the bytes per row of data, with a line for each method of each run.

    rows: the points, each {"run", "method", "bytes_a_row", "mse"}; the baselines have "pca", "jpeg" or "png" as run
    """
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        lines.setdefault((row["run"], row["method"]), []).append((row["bytes_a_row"], row["mse"]))
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = panels_of(1, size=(7.8, 4.0))
        k = 0
        for (run, method), points in lines.items():
            look = BESIDE.get(run)
            if look is None:
                look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
                look |= {"linestyle": DASHES[(k // len(COLOURS)) % len(DASHES)], "label": f"{run}, {method}"}
                k += 1
            x, y = zip(*sorted(points), strict=True)
            axes.plot(x, y, **({"markersize": 5} | look))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(bottom=-0.02 * max(row["mse"] for row in rows))
        axes.set(
            xlabel="bytes a row, of one file of all rows", ylabel="squared error a number, unit scale", title=title
        )
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
        save(figure, to)
