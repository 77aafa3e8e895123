"""What all pictures share: colours, fonts, panels, and `save`, which writes the same bytes for the same figure.

The colours are based on Okabe and Ito's (2008), which colour-blind readers can tell apart; heat maps are viridis.
"""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any, BinaryIO, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

INK, GREY = "#222222", "#9a9a9a"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D31", "#000000", "#B8AD00", "#6A51A3")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
AROUND = LinearSegmentedColormap.from_list("around", [*COLOURS[:5], COLOURS[0]])  # for angles: it ends where it begins
DASHES = ("-", "--", ":", "-.")
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
DPI = 130
PLAIN: dict[str, Any] = {"Software": None}  # without it, matplotlib writes its version into the file
TILE_PIXELS = 56  # small images are enlarged to about this size
PANEL = (3.9, 3.1)  # inches
LETTER = 0.085  # inches of a letter of a heading, on average
LAYOUT: Literal["constrained"] | None = "constrained"

Points = Mapping[str, np.ndarray]
Target = Path | BinaryIO


def save(figure: Figure, to: Target) -> None:
    FigureCanvasAgg(figure).print_png(to, metadata=PLAIN)


def plain(text: str) -> str:
    """Return a text of the user's in a form that is drawn as it is: matplotlib reads formulas between dollars."""
    return text.replace("$", r"\$")


def word(text: object) -> str:
    """Return a word of the user's for a legend, which leaves out words that begin with an underscore."""
    shown = plain(str(text))
    return f" {shown}" if shown.startswith("_") else shown


def heading(figure: Figure, title: str) -> None:
    """Write a title above a figure, in lines that the figure is wide enough for."""
    letters = int(figure.get_figwidth() / LETTER)
    lines = [part for line in title.splitlines() for part in wrap(line, letters) or [""]]
    figure.suptitle(plain("\n".join(lines)), x=0.01, ha="left", weight="bold", fontsize=10)


def panels_of(count: int, *, columns: int = 1, size: tuple[float, float] = PANEL) -> tuple[Figure, list[Axes]]:
    columns = max(1, columns)
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), dpi=DPI, layout=LAYOUT)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


def extent(points: np.ndarray, margin: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.percentile(points, [0.1, 99.9], axis=0)  # so that one outlier does not shrink the rest to a dot
    pad = margin * np.maximum(high - low, 1e-9)
    return low - pad, high + pad
