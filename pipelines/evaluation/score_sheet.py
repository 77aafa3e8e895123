"""Draws scored rows: for images a contact sheet with maps of their errors, for other rows a histogram of their scores.

`evaluate` uses it for a run's test rows, and `gen-models score` for the rows of a file. A map holds, for each pixel of
an image, the squared error of the model's reconstruction. Calibration rows are normal rows that the training has not
seen. A row is flagged, which means marked as anomalous, if its score is above the edge.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from gen_models.anomalies.calibration import Calibration
from gen_models.anomalies.conformal import conformal_p, threshold
from gen_models.anomalies.reconstruction_scores import error_maps
from gen_models.anomalies.scores import FittedScores
from gen_models.contracts import Reconstructor
from gen_models.evaluating import evaluating
from pipelines import figures
from pipelines.evaluation.row_scores import RowScores
from pipelines.evaluation.trained_run import Trained
from pipelines.figures.style import Target

SHEET_IMAGES = 12  # of each kind
LETTERS = 15  # of a name below an image: its last ones
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
    shown: dict[str, figures.Strip] = {}
    if figures.is_image(trained.data.event_shape):
        images = trained.data.x("test")
        p = conformal_p(calibration, scores) if calibration is not None else np.full(len(scores), math.nan)
        for kind, chosen in strips(scores, edge).items():
            names = captions(trained.data.names("test", chosen) or {"test row": chosen.tolist()}, p[chosen])
            flags = p[chosen] <= usual_rate(len(calibration)) if calibration is not None else None
            shown[kind] = figures.Strip(np.asarray(images[chosen], dtype=np.float32), names, flags)
    title = f"{trained.run.key}, {name} of {len(scores):,} test rows"
    if calibration is not None and math.isfinite(edge):
        title += f"; flagged: p at most {usual_rate(len(calibration)):.2g}"
    scale = known.facts.get("map_scale") if known else None
    draw(to, scores, calibration, edge, shown, scored.fitted, levels=trained.data.levels, map_scale=scale, title=title)


def usual_rate(rows: int) -> float:
    """Return the p-value at or below which a row is unusual: USUAL_RATE, or the least one that `rows` rows can give."""
    return max(USUAL_RATE, 1 / (rows + 1))


def strips(scores: np.ndarray, edge: float) -> dict[str, np.ndarray]:
    """Return {kind: indices of the rows in this strip}, for each of KINDS, as `rows_of_strips` does.

    Borderline rows are those whose scores are nearest to the edge.

    scores: (rows,); edge: a score, or NaN or inf for no edge
    """
    keys = dict(zip(KINDS, (-scores, np.abs(scores - edge), scores), strict=True))
    places = {kind: np.argsort(values, kind="stable") for kind, values in keys.items()}
    return rows_of_strips(places, scores, edge)


def rows_of_strips(places: Mapping[str, np.ndarray], scores: np.ndarray, edge: float) -> dict[str, np.ndarray]:
    """Return the first rows of each kind, at most SHEET_IMAGES; no row is in two strips.

    The row that fits the kind best comes first; borderline rows go from the largest score to the smallest. There are no
    borderline rows if the edge lies within another strip, or if there is no edge.

    places: {kind: indices of rows, the row that fits the kind best first}
    scores: the scores of all rows, NaN for a row without one; the strips share the rows if they are few
    edge: the score above which rows are flagged, or NaN or inf for none
    """
    top, middle, bottom = (places[kind] for kind in KINDS)
    rows, flagged = int((~np.isnan(scores)).sum()), int((scores > edge).sum())
    most = min(SHEET_IMAGES, math.ceil(rows / 3))
    if not most <= flagged <= rows - most:
        most, middle = min(SHEET_IMAGES, math.ceil(rows / 2)), middle[:0]
    top = top[:most]
    bottom = bottom[~np.isin(bottom, top)][:most]
    middle = middle[~np.isin(middle, [*top, *bottom])][:most]
    found = top, middle[np.argsort(-scores[middle], kind="stable")], bottom
    return {kind: chosen for kind, chosen in zip(KINDS, found, strict=True) if len(chosen)}


def captions(names: Mapping[str, Sequence[Any]], p: np.ndarray) -> list[str]:
    """Return what is written below each image: its name, or the end of a long one, and its p-value.

    names: {column: a value for each image} of the columns that identify rows, of which the first is used
    p: (rows,), NaN for rows without one
    """
    column, values = next(iter(names.items()))
    is_path = column == "path"
    words = [_end_of(str(PurePosixPath(value).with_suffix("")) if is_path else f"{column} {value}") for value in values]
    return [f"{word}\n" + ("" if math.isnan(of) else f"p {of:.3g}") for word, of in zip(words, p, strict=True)]


def _end_of(name: str) -> str:
    return name if len(name) <= LETTERS else f"…{name[1 - LETTERS :]}"


def draw(
    to: Target,
    scores: np.ndarray,
    calibration: np.ndarray | None,
    edge: float,
    shown: Mapping[str, figures.Strip],
    fitted: FittedScores,
    *,
    levels: int | None,
    map_scale: float | None,
    title: str,
) -> None:
    """Draw images in strips or, if `shown` is empty, a histogram of the scores.

    Below each strip of images are the maps of their errors, if the model can reconstruct images.

    scores: of all rows, (rows,); calibration: scores of calibration rows, (n,), or None
    edge: the score above which rows are flagged, or NaN for none
    shown: {one of KINDS: its strip, without maps}; {} if the rows are not images
    fitted: the scores of the model, which computes the maps
    levels, map_scale: as `figures.score_sheet` takes them
    """
    if not shown:
        figures.score_histogram(scores, calibration, edge, to, title=title)
        return
    if isinstance(fitted.model, Reconstructor):
        shown = {kind: replace(of, maps=maps_of(fitted, of.images)) for kind, of in shown.items() if len(of.images)}
    figures.score_sheet(shown, to, levels=levels, map_scale=map_scale, title=title)


def maps_of(fitted: FittedScores, images: np.ndarray) -> np.ndarray:
    """Return the map of errors of each image, (rows, height, width).

    fitted: the scores of the model that reconstructs the images; images: (rows, channels, height, width)
    """
    with evaluating(fitted.model):
        return error_maps(fitted.model, torch.from_numpy(images), fitted.setting).numpy()
