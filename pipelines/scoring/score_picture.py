"""Draws the rows of a file with their scores. The picture's file appears only when it is complete."""

from pathlib import Path

import numpy as np

from pipelines import figures
from pipelines.commands.output_file import whole
from pipelines.evaluation import score_sheet
from pipelines.scoring.decisions import Decisions, Rule
from pipelines.scoring.kept_rows import KeptRows
from pipelines.scoring.scored_rows import ScoredRows, Scorer


def draw(path: Path, scored: ScoredRows, scorer: Scorer, decisions: Decisions, rule: Rule | None, edge: float) -> None:
    """Draw the picture to the file `path`: for images a sheet with maps of errors, else a histogram of the scores.

    rule: the rate at which rows are flagged, or None; edge: the score above which they are, or NaN for none
    """
    stored, known = scorer.stored, scorer.stored.calibration
    shown = _strips(scored, decisions, edge) if scorer.is_of_images else {}
    with whole(path) as file:
        score_sheet.draw(
            file, scored.scores, scorer.calibration, edge, shown, scorer.fitted,
            levels=stored.facts["levels"],
            map_scale=known.facts.get("map_scale") if known else None,
            title=f"{stored.title}, {scorer.name} of {(~np.isnan(scored.scores)).sum():,} rows"
            + _flagged(decisions, rule, is_of_images=bool(shown)),
        )  # fmt: skip


def _flagged(decisions: Decisions, rule: Rule | None, *, is_of_images: bool) -> str:
    """Return a line on how many rows are flagged, and at which rate; "" without a rate."""
    if rule is None or decisions.is_called is None:
        return ""
    marks = ", with orange names" if is_of_images else ""
    return f"\nflagged at {rule.words}: {int(decisions.is_called.sum()):,}{marks}"


def _strips(scored: ScoredRows, decisions: Decisions, edge: float) -> dict[str, figures.Strip]:
    """Return {one of score_sheet.KINDS: the rows that were kept for it, with their names, p-values and decisions}."""
    kept: dict[str, KeptRows] = dict(
        zip(score_sheet.KINDS, (scored.anomalous, scored.borderline, scored.normal), strict=True)
    )
    places = {kind: of.places for kind, of in kept.items()}
    found = {}
    for kind, rows in score_sheet.rows_of_strips(places, scored.scores, edge).items():
        x, flags = kept[kind].x, decisions.is_called
        assert x is not None
        found[kind] = figures.Strip(
            np.concatenate([x[kept[kind].places == row] for row in rows]),
            score_sheet.captions({name: of[rows] for name, of in scored.columns.items()}, decisions.p[rows]),
            flags[rows] if flags is not None else None,
        )
    return found
