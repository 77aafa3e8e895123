"""A picture of a table: a small chart for each column, of its numbers or of its most frequent words."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from pipelines.figures.style import COLOURS, GREY, STYLE, Target, panels_of, plain, save

BINS = 30
SHOWN_WORDS = 8
LONGEST = 24  # letters of a word or a title


def columns(charts: Mapping[str, np.ndarray | Mapping[str, int]], to: Target, *, used: set[str]) -> None:
    """Draw, for each column of a table, a histogram of its numbers or bars for how often each word occurs.

    charts: {title of a column: finite numbers (rows,), or {word: how often it occurs}}
    used: titles of the columns that the model gets as input; they are drawn in colour, the others in grey
    """
    with matplotlib.rc_context(STYLE):
        figure, places = panels_of(len(charts), columns=min(4, len(charts)), size=(2.9, 2.1))
        for axes, (title, content) in zip(places, charts.items(), strict=True):
            colour = COLOURS[0] if title in used else GREY
            if isinstance(content, Mapping):
                _bars(axes, content, colour)
            else:
                axes.hist(content, bins=BINS, color=colour)
            axes.set_title(_short(title))
            axes.grid(visible=False)
        save(figure, to)


def _bars(axes: Axes, counts: Mapping[str, int], colour: str) -> None:
    shown = sorted(counts.items(), key=lambda entry: -entry[1])[:SHOWN_WORDS]
    axes.barh([_short(word) for word, _ in shown], [count for _, count in shown], color=colour)
    axes.invert_yaxis()


def _short(text: str) -> str:
    return plain(text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}...")
