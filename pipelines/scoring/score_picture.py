"""Draws what was scored: of images a contact sheet with maps of their errors, of other rows a histogram."""

from pathlib import Path

import numpy as np

from pipelines import figures
from pipelines.commands.output_file import whole
from pipelines.scoring.reasons import Reasons
from pipelines.scoring.scored_rows import ScoredRows, Scorer

SHEET_IMAGES = 12  # of each kind


def draw(path: Path, scored: ScoredRows, scorer: Scorer, explainer: Reasons, edge: float) -> None:
    """Draw the picture to a file. edge: the score above which rows are called, or NaN"""
    title = f"{scorer.stored.title}, {scorer.name} of {np.isfinite(scored.scores).sum():,} rows"
    kinds = {"most anomalous": scored.anomalous, "borderline": scored.borderline, "most normal": scored.normal}
    rows = {name: kept.x[:SHEET_IMAGES] for name, kept in kinds.items() if kept.x is not None}
    with whole(path) as file:
        if not scorer.is_of_images or not rows:
            figures.score_histogram(scored.scores, scorer.calibration, edge, file, title=title)
            return
        maps = {} if explainer.why_none else {name: explainer.maps(images) for name, images in rows.items()}
        known = scorer.stored.calibration
        scale = known.facts.get("map_scale") if known else None
        figures.score_sheet(rows, maps, file, levels=scorer.stored.facts["levels"], map_scale=scale, title=title)
