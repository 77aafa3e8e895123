"""Computes every anomaly score of a run on its test and calibration rows, once, for all that is made of them.

The calibration scores, the fitted states of the scores, and usual values of a table's columns are kept in one file,
calibration.safetensors, which travels with the registered model: new rows are compared with it.
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
from pipelines.evaluation.trained_run import Trained

REFERENCE_ROWS = 20_000  # training rows that a score or a baseline is fitted on
MOST_ROWS = 10_000  # test rows that are scored if no labels make them count
MAP_ROWS, MAP_QUANTILE = 500, 0.999  # calibration rows, and the share of their pixels' errors, that fix a map's colours


@dataclass(frozen=True)
class RowScores:
    """The scores of a run.

    test, calibration: {score: (rows,) float64}, of all test rows, anomalies among them, and of normal calibration rows;
    no score is in `calibration` if the data have no calibration split; left_out: scores that are nan for some row,
    as of a training that diverged
    """

    fitted: FittedScores
    test: dict[str, np.ndarray]
    calibration: dict[str, np.ndarray]
    left_out: tuple[str, ...] = ()


def score_rows(trained: Trained, seed: int) -> RowScores:
    """Fit every score that the run's model offers to training rows, and apply it to test and calibration rows."""
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
    """Write calibration.safetensors, and return its content.

    Does nothing and returns None if the data have no calibration split or the model has no score.
    """
    if not scored.calibration:
        return None
    usual = None
    if len(trained.data.event_shape) == 1:
        groups = list(groups_of(trained.data.manifest).values())
        usual = marginals(trained.normal("train")[:REFERENCE_ROWS], groups)
    facts = {
        "data_sha256": trained.data.sha256,
        "checkpoint_sha256": checkpoint.digest(trained.folder / "checkpoint"),
        "seed": scored.fitted.setting.noise.seed,
        **({"map_scale": _map_scale(trained, scored)} if "blurred" in scored.calibration else {}),
    }
    calibration = Calibration(scored.calibration, scored.fitted.states, usual, facts)
    save_calibration(calibration, folder / FILE)
    return calibration


def as_numpy(scores: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return {score: (rows,) float64}."""
    return {name: values.double().numpy() for name, values in scores.items()}


def _map_scale(trained: Trained, scored: RowScores) -> float:
    """Return the error that one of a thousand pixels of calibration images exceeds: where a map's colours end."""
    with evaluating(trained.model):
        maps = error_maps(trained.model, trained.normal("calibration")[:MAP_ROWS], scored.fitted.setting)
    return float(np.quantile(maps.numpy(), MAP_QUANTILE))
