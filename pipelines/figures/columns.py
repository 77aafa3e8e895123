"""A picture of a table: a small chart for each column, of its numbers or of its most frequent words."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipelines.figures.style import COLOURS, GREY, STYLE, Target, panels_of, plain, save

BINS = 30
SHOWN_WORDS = 8
LONGEST = 24  # letters of a word or a title
PLACES, MOST_POINTS = 3, 1e6  # numbers with at most so many decimal places lie on a grid, of at most so many points


def columns(
    charts: Mapping[str, np.ndarray | Mapping[str, int]], to: Target, *, used: set[str], missing: Mapping[str, int]
) -> None:
    """Draw, for each column of a table, a histogram of its numbers or bars for how often each word occurs.

    charts: {title of a column: finite numbers (rows,), or {word: how often it occurs}}
    used: titles of the columns that the model gets as input; they are drawn in colour, the others in grey
    missing: {title: how many cells of the column are missing}, which is written below its chart
    """
    with matplotlib.rc_context(STYLE):
        figure, places = panels_of(len(charts), columns=min(4, len(charts)), size=(2.9, 2.1))
        for axes, (title, content) in zip(places, charts.items(), strict=True):
            colour = COLOURS[0] if title in used else GREY
            if isinstance(content, Mapping):
                _bars(axes, content, colour)
            else:
                axes.hist(content, bins=_edges(content), color=colour)
                axes.xaxis.set_major_locator(MaxNLocator(4, integer=bool((content == np.round(content)).all())))
                axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.set_title(_short(title))
            if count := missing.get(title):
                axes.set_xlabel(f"{count:,} missing", fontsize=7.5)
            axes.grid(visible=False)
        save(figure, to)


def _edges(numbers: np.ndarray) -> list[float]:
    """Return the edges of at most BINS bins. If the numbers lie on a grid, each bin has equally many of its points."""
    low, high = float(numbers.min()), float(numbers.max())
    step = next((10.0**-k for k in range(PLACES + 1) if (np.round(numbers, k) == numbers).all()), 0.0)
    points = round((high - low) / step) + 1 if step and high - low < step * MOST_POINTS else 0
    if not points:
        return np.histogram_bin_edges(numbers, bins=BINS).tolist()
    width = step * -(-points // BINS)
    return (low - step / 2 + width * np.arange(-(-points // round(width / step)) + 1)).tolist()


def _bars(axes: Axes, counts: Mapping[str, int], colour: str) -> None:
    shown = sorted(counts.items(), key=lambda entry: -entry[1])[:SHOWN_WORDS]
    axes.barh([_short(word) for word, _ in shown], [count for _, count in shown], color=colour)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.invert_yaxis()


def _short(text: str) -> str:
    return plain(text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}...")
