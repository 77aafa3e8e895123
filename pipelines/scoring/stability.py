"""Measures how far the results of a run depend on the seed of its training.

A seed decides the first weights, the order of the rows and the noise. Trainings with different seeds have the same
data, split, setting and code; so whatever differs between them is chance, and no conclusion should rest on it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from gen_models.anomalies.calibration import FILE, load_calibration
from gen_models.anomalies.conformal import conformal_p
from gen_models.errors import DataError
from pipelines.comparison.dvc_files import numbers_of
from pipelines.comparison.score_agreement import spearman
from pipelines.evaluation.result_files import read_part, read_scores


@dataclass(frozen=True)
class Calls:
    """The calls of one anomaly score at a false-positive rate, after each training.

    score        the name of the run's default score
    rank         the rank correlation of the scores after each two trainings; empty if one of them is constant
    p            p-values of the test rows, (trainings, rows)
    is_called    whether p is at most the rate, (trainings, rows)
    """

    score: str
    rank: tuple[float, ...]
    p: np.ndarray
    is_called: np.ndarray

    @property
    def flagged_by(self) -> np.ndarray:
        """How many trainings flag each test row, (rows,)."""
        return self.is_called.sum(axis=0)


def require_two(key: str, folders: Mapping[int, Path]) -> None:
    """Raise DataError unless at least two trainings of a run can be compared. folders: as in `numbers`"""
    if len(folders) < 2:
        raise DataError(
            f"{key}: fewer than two trainings ended, so there is nothing to compare; lower its learning rate"
        )


def numbers(folders: Mapping[int, Path]) -> dict[str, np.ndarray]:
    """Return {name of a number: its value after each training}, of those numbers that every evaluation has.

    folders: {seed: the folder of the evaluation}; the names are those of dvc_files.NUMBERS, and auroc
    """
    found = []
    for folder in folders.values():
        areas = [row["auroc"] for row in read_part(folder, "anomalies") if row["is_default"]]
        found.append(numbers_of(json.loads((folder / "metrics.json").read_text()), areas[0] if areas else None))
    names = [name for name in found[0] if all(name in one for one in found)]
    return {name: np.array([one[name] for one in found]) for name in names}


def calls(key: str, folders: Mapping[int, Path], rate: float) -> Calls | None:
    """Return the calls of a run's default anomaly score at a false-positive rate.

    Returns None if the run has no score, or its data have no calibration rows. Raises DataError if a training lacks the
    default score of the others, because the score is no number for some row.

    key: the run's name; folders: {seed: the folder of the evaluation}; rate: of false positives
    """
    defaults = [next((row for row in read_part(one, "scores") if row["is_default"]), None) for one in folders.values()]
    if not any(row is not None and row["calibration_rows"] for row in defaults):
        return None
    names = {seed: "none" if row is None else row["score"] for seed, row in zip(folders, defaults, strict=True)}
    if len(set(names.values())) > 1:
        told = ", ".join(f"{name} of seed {seed}" for seed, name in names.items())
        raise DataError(f"{key}: default scores differ ({told}): one is NaN for some row; lower the learning rate")
    (name,) = set(names.values())
    values, p = [], []
    for folder in folders.values():
        known = load_calibration(folder / FILE).scores[name]
        values.append(read_scores(folder)[key, name])
        p.append(conformal_p(known, values[-1]))
    matrix = spearman(values)
    rank = (matrix[i][j] for i, j in combinations(range(len(values)), 2))
    return Calls(name, tuple(one for one in rank if one is not None), np.array(p), np.array(p) <= rate)
