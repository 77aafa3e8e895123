"""Draws the rows of a file with their scores. The picture's file appears only when it is complete."""

from pathlib import Path

import numpy as np

from pipelines.commands.output_file import whole
from pipelines.evaluation import score_sheet
from pipelines.scoring.scored_rows import ScoredRows, Scorer


def draw(path: Path, scored: ScoredRows, scorer: Scorer, edge: float) -> None:
    """Draw the picture to the file `path`: for images a sheet with maps of errors, else a histogram of the scores.

    edge: the score above which rows are flagged, or NaN for none
    """
    stored, known = scorer.stored, scorer.stored.calibration
    rows: dict[str, np.ndarray] = {}
    if scorer.is_of_images:
        kept = zip(score_sheet.KINDS, (scored.anomalous, scored.borderline, scored.normal), strict=True)
        rows = {kind: of.x[: score_sheet.SHEET_IMAGES] for kind, of in kept if of.x is not None}
    with whole(path) as file:
        score_sheet.draw(
            file, scored.scores, scorer.calibration, edge, rows, scorer.fitted,
            levels=stored.facts["levels"],
            map_scale=known.facts.get("map_scale") if known else None,
            title=f"{stored.title}, {scorer.name} of {(~np.isnan(scored.scores)).sum():,} rows",
        )  # fmt: skip
