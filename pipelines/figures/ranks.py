"""Mean ranks of methods over data sets, with the difference below which they are not told apart (Demsar, 2006)."""

from collections.abc import Mapping

import matplotlib

from pipelines.figures.style import COLOURS, GREY, STYLE, Target, heading, panels_of, save


def mean_ranks(ranks: Mapping[str, float], critical: float, to: Target, *, title: str) -> None:
    """Draw a point for each method at its mean rank, 1 is best, with a bar of the critical difference.

    Methods whose bars hold the best one's point are not told apart from it, and are grey.
    """
    ordered = sorted(ranks.items(), key=lambda entry: entry[1])
    best = ordered[0][1]
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = panels_of(1, size=(6.4, 1.0 + 0.3 * len(ordered)))
        for place, (_, rank) in enumerate(ordered):
            colour = COLOURS[0] if place == 0 else (GREY if rank - best < critical else COLOURS[3])
            axes.plot([rank - critical, rank], [place, place], color=colour, linewidth=2, alpha=0.6)
            axes.plot(rank, place, "o", color=colour)
        axes.axvline(best, color=COLOURS[0], linewidth=0.8, linestyle="--")
        axes.set_yticks(range(len(ordered)), [name for name, _ in ordered])
        axes.invert_yaxis()
        axes.set(xlabel="mean rank (1 is best); bars reach as far as a difference by chance at 5%")
        heading(figure, title)
        save(figure, to)
