"""A picture of the mean ranks of methods over data sets, with Nemenyi's critical difference (Demsar, 2006).

If the mean ranks of two methods differ by less than the critical difference, the difference may be due to chance.
"""

from collections.abc import Mapping

import matplotlib

from pipelines.figures.style import COLOURS, GREY, STYLE, Target, heading, panels_of, save


def mean_ranks(ranks: Mapping[str, float], critical: float, to: Target, *, title: str) -> None:
    """Draw a point for each method at its mean rank, with a bar from there to a rank better by `critical`.

    ranks: {method: mean rank}, where 1 is the best; critical: the critical difference

    A method is grey if its bar reaches the rank of the best method: the two cannot be told apart.
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
