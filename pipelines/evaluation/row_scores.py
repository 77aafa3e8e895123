"""Computes every anomaly score of a run on its test rows and on its calibration rows.

This is done once; metrics, pictures and comparisons all use the result. Calibration rows are normal rows that the
training has not seen. Their scores, what each score was fitted to (its state), and usual values of a table's columns
are kept in one file, calibration.safetensors. It travels with the registered model, so that new rows can be compared
with the calibration rows.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from gen_models import checkpoint
from gen_models.anomalies.calibration import FILE, Calibration, save_calibration
from gen_models.anomalies.contributions import marginals
from gen_models.anomalies.reconstruction_scores import error_maps
from gen_models.anomalies.score import Setting
from gen_models.anomalies.scores import FittedScores, fit_scores
from gen_models.evaluating import evaluating
from gen_models.noise import Noise
from gen_models.table import groups_of
from pipelines.evaluation.column_counts import counted_columns
from pipelines.evaluation.trained_run import Trained

REFERENCE_ROWS = 20_000  # training rows that a score or a baseline is fitted on
MOST_ROWS = 10_000  # test rows that are scored if no labels make them count
MAP_ROWS, MAP_QUANTILE = 500, 0.999  # the quantile of the errors of the pixels of so many calibration images


@dataclass(frozen=True)
class RowScores:
    """The anomaly scores of a run.

    fitted       the scores, fitted to training rows
    test         {score: its values on the test rows, anomalies among them, (rows,) float64}
    calibration  {score: its values on the normal calibration rows, (rows,) float64}; {} without a calibration split
    left_out     names of scores that are NaN for some row, for example because the training diverged; they are in none
                 of the above
    """

    fitted: FittedScores
    test: dict[str, np.ndarray]
    calibration: dict[str, np.ndarray]
    left_out: tuple[str, ...] = ()


def score_rows(trained: Trained, seed: int) -> RowScores:
    """Fit every score that the run's model offers to training rows, and apply it to test and calibration rows.

    All test rows are scored if the data hold out classes as anomalies, else at most MOST_ROWS. A score that is NaN for
    some row is left out.
    """
    data = trained.data
    setting = Setting(data.levels, data.manifest["statistics"], Noise(seed))
    fitted = fit_scores(trained.model, trained.normal("train")[:REFERENCE_ROWS], setting)
    test = data.rows("test", None if trained.anomaly else MOST_ROWS)
    has_calibration = "calibration" in data.splits and len(data.x("calibration")) > 0
    found = as_numpy(fitted.all(test, is_checked=False))
    kept = as_numpy(fitted.all(trained.normal("calibration"), is_checked=False)) if has_calibration else {}
    broken = tuple(name for name in found if np.isnan(found[name]).any() or np.isnan(kept.get(name, 0.0)).any())
    for name in broken:
        found.pop(name), kept.pop(name, None)
    return RowScores(fitted.without(broken), found, kept, broken)


def write_calibration(trained: Trained, scored: RowScores, folder: Path) -> Calibration | None:
    """Write calibration.safetensors to `folder`, and return its content.

    Writes nothing and returns None if the data have no calibration split or the model offers no score.
    """
    if not scored.calibration:
        return None
    usual, counts = None, []
    if len(trained.data.event_shape) == 1:
        groups, train = list(groups_of(trained.data.manifest).values()), trained.normal("train")[:REFERENCE_ROWS]
        usual = marginals(train, groups)
        counts = counted_columns(trained.data.manifest, train.numpy(), usual.numpy())
    facts = {
        "data_sha256": trained.data.sha256,
        "checkpoint_sha256": checkpoint.digest(trained.folder / "checkpoint"),
        "seed": scored.fitted.setting.noise.seed,
        **({"map_scale": _map_scale(trained, scored)} if "blurred" in scored.calibration else {}),
    }
    calibration = Calibration(scored.calibration, scored.fitted.states, usual, facts, counts)
    save_calibration(calibration, folder / FILE)
    return calibration


def as_numpy(scores: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the same scores, {name: (rows,)}, as float64 arrays of numpy."""
    return {name: values.double().numpy() for name, values in scores.items()}


def _map_scale(trained: Trained, scored: RowScores) -> float:
    """Return the error that one in a thousand pixels of calibration images exceeds. It scales the colours of maps."""
    with evaluating(trained.model):
        maps = error_maps(trained.model, trained.normal("calibration")[:MAP_ROWS], scored.fitted.setting)
    return float(np.quantile(maps.numpy(), MAP_QUANTILE))
