"""Draws scored rows: for images a contact sheet with maps of their errors, for other rows a histogram of their scores.

`evaluate` uses it for a run's test rows, and `gen-models score` for the rows of a file. A map holds, for each pixel of
an image, the squared error of the model's reconstruction. Calibration rows are normal rows that the training has not
seen. A row is called, which means marked as anomalous, if its score is above the edge.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from gen_models.anomalies.calibration import Calibration
from gen_models.anomalies.conformal import threshold
from gen_models.anomalies.reconstruction_scores import error_maps
from gen_models.anomalies.scores import FittedScores
from gen_models.contracts import Reconstructor
from gen_models.evaluating import evaluating
from pipelines import figures
from pipelines.evaluation.row_scores import RowScores
from pipelines.evaluation.trained_run import Trained
from pipelines.figures.style import Target

SHEET_IMAGES = 12  # of each kind
USUAL_RATE = 0.05  # the false-positive rate that sets the edge, and which rows get a reason, if the user states no rate
KINDS = ("most anomalous", "borderline", "most normal")  # the strips of a sheet, from top to bottom


def draw_scored(trained: Trained, scored: RowScores, known: Calibration | None, to: Path) -> None:
    """Draw the test rows of a run, by its default score, to the file `to`. If the run has no score, draw nothing.

    known: what `write_calibration` (row_scores.py) returned
    """
    if not scored.fitted.names:
        return
    name = scored.fitted.default
    scores, calibration = scored.test[name], scored.calibration.get(name)
    edge = math.nan
    if calibration is not None:
        edge = threshold(calibration, usual_rate(len(calibration)))
    rows: dict[str, np.ndarray] = {}
    if figures.is_image(trained.data.event_shape):
        images = trained.data.x("test")
        rows = {kind: np.asarray(images[chosen], dtype=np.float32) for kind, chosen in strips(scores, edge).items()}
    title = f"{trained.run.key}, {name} of {len(scores):,} test rows"
    scale = known.facts.get("map_scale") if known else None
    draw(to, scores, calibration, edge, rows, scored.fitted, levels=trained.data.levels, map_scale=scale, title=title)


def usual_rate(rows: int) -> float:
    """Return the p-value at or below which a row is unusual: USUAL_RATE, or the least one that `rows` rows can give."""
    return max(USUAL_RATE, 1 / (rows + 1))


def strips(scores: np.ndarray, edge: float) -> dict[str, np.ndarray]:
    """Return {kind: indices of the rows in this strip}, for each of KINDS; the row that fits the kind best comes first.

    Borderline rows are those whose scores are nearest to the edge; without an edge they are left out.

    scores: (rows,); edge: a score, or NaN or inf for no edge
    """
    keys = dict(zip(KINDS, (-scores, np.abs(scores - edge), scores), strict=True))
    if not np.isfinite(edge):
        del keys["borderline"]
    return {kind: np.argsort(values, kind="stable")[:SHEET_IMAGES] for kind, values in keys.items()}


def draw(
    to: Target,
    scores: np.ndarray,
    calibration: np.ndarray | None,
    edge: float,
    rows: Mapping[str, np.ndarray],
    fitted: FittedScores,
    *,
    levels: int | None,
    map_scale: float | None,
    title: str,
) -> None:
    """Draw images in strips or, if `rows` is empty, a histogram of the scores.

    Below each strip of images are the maps of their errors, if the model can reconstruct images.

    scores: of all rows, (rows,); calibration: scores of calibration rows, (n,), or None
    edge: the score above which rows are called, or NaN for none
    rows: {one of KINDS: images (n, channels, height, width)}; {} if the rows are not images
    fitted: the scores of the model, which computes the maps
    levels, map_scale: as `figures.score_sheet` takes them
    """
    if not rows:
        figures.score_histogram(scores, calibration, edge, to, title=title)
        return
    maps = {}
    if isinstance(fitted.model, Reconstructor):
        maps = {kind: maps_of(fitted, images) for kind, images in rows.items() if len(images)}
    figures.score_sheet(rows, maps, to, levels=levels, map_scale=map_scale, title=title)


def maps_of(fitted: FittedScores, images: np.ndarray) -> np.ndarray:
    """Return the map of errors of each image, (rows, height, width).

    fitted: the scores of the model that reconstructs the images; images: (rows, channels, height, width)
    """
    with evaluating(fitted.model):
        return error_maps(fitted.model, torch.from_numpy(images), fitted.setting).numpy()
