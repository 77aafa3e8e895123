"""Finds the columns of a table in which new rows differ from training rows.

A model's calibration keeps, for each column, how many of m training rows have each of several things
(pipelines/evaluation/column_counts.py): the values of a category, to be missing, or to be at most as large as one of 16
quantiles. The shares of n new rows that have them are compared with these.

If nothing has changed, a column is found to have moved with a probability of a/d at most, for d columns and the level
a: of its k things, each differs if the p-value of Fisher's exact test is below a/(d k). So a change of a rare value or
of a tail is seen as early as its counts allow.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gen_models.anomalies.calibration import Calibration
from gen_models.table import Column
from pipelines.evaluation.column_counts import Counts, columns_of, counted_columns, parts_of

SURELY, TESTED = 2.0, 0.04  # fewer standard errors are not worth an exact test, unless the level is above this


@dataclass(frozen=True)
class Moved:
    """A column that has moved.

    share, usual: of the new rows and of the rows with which they are compared, those that `words` describes
    rows: of which rows these are shares
    compared: where or when these others are
    """

    column: str
    words: str
    share: float
    usual: float
    rows: str = "rows"
    compared: str = "usually"

    def __str__(self) -> str:
        beside = f"{self.compared} {_percent(self.usual)}"
        return f"{self.column}: {_percent(self.share)} of the {self.rows} {self.words}, {beside}"


def column_drift(calibration: Calibration | None, facts: Mapping[str, Any]) -> "ColumnDrift | None":
    """Return a count of what new rows hold in each column.

    It is None for images, which have no columns, and for a calibration of an earlier release, which has no counts.

    calibration: what the model keeps of its training rows, or None; facts: as for ColumnDrift
    """
    if calibration is None or calibration.usual is None or not calibration.counts:
        return None
    return ColumnDrift(calibration.usual.numpy(), calibration.counts, facts)


class ColumnDrift:
    """Counts what new rows hold in each column, block by block.

    usual   (K, numbers): usual values of each column, from gen_models.anomalies.contributions.marginals
    counts  of each column in the training rows, from counted_columns
    facts   what the model knows of its training data, from registry.serving.facts_of
    """

    def __init__(self, usual: np.ndarray, counts: Sequence[Counts], facts: Mapping[str, Any]):
        self._usual, self._known, self._facts = usual, counts, facts
        self._found = [np.zeros_like(known) for known in counts]
        self._rows = 0

    def add(self, x: np.ndarray) -> None:
        """Count rows (rows, numbers), which must have no problem."""
        self._rows += len(x)
        new = counted_columns(self._facts, x.astype(self._usual.dtype), self._usual)
        self._found = [found + more for found, more in zip(self._found, new, strict=True)]

    def compared_with(self, others: Sequence["ColumnDrift"]) -> "ColumnDrift":
        """Return the same counts, to be compared with those of `others` in place of the training rows."""
        known = [np.sum(of, axis=0) for of in zip(*(other._found for other in others), strict=True)]
        found = ColumnDrift(self._usual, known, self._facts)
        found._found, found._rows = self._found, self._rows
        return found

    def moved(self, level: float) -> list[Moved]:
        """Return the columns that have moved, the one with the largest difference first.

        level: the probability of a false alarm, for all columns together
        """
        if not self._rows:
            return []
        found = []
        parts = zip(columns_of(self._facts), self._found, self._known, parts_of(self._facts, self._usual), strict=True)
        for column, new, known, (_, usual) in parts:
            with np.errstate(divide="ignore", invalid="ignore"):  # nothing is known of a thing counted among no rows
                share, before = new[0] / new[1], known[0] / known[1]
            difference = np.nan_to_num(np.abs(share - before))
            differs = difference * _is_sure(new, known, difference, level / len(self._known))
            most = int(differs.argmax())
            if differs[most] > 0:
                told = _told(column, usual, most, share[most], before[most])
                is_of_all = all(counts[1, most] == counts[1].max() for counts in (new, known))
                found.append((differs[most], told if is_of_all else replace(told, rows="rows with a value")))
        return [moved for _, moved in sorted(found, key=lambda pair: -pair[0])]


def _is_sure(new: Counts, known: Counts, difference: np.ndarray, level: float) -> np.ndarray:
    """Return of which things the shares surely differ, (things,) of bool.

    difference: of the shares of each thing; level: the probability that any is said to differ if nothing has changed
    """
    from scipy.stats import fisher_exact  # takes a second

    most = level / new.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (new[0] + known[0]) / (new[1] + known[1])
        worth = difference > SURELY * np.sqrt(share * (1 - share) * (1 / new[1] + 1 / known[1]))
    sure = np.zeros(new.shape[1], dtype=bool)
    for k in np.flatnonzero(worth) if most <= TESTED else range(len(sure)):
        table = [[new[0, k], new[1, k] - new[0, k]], [known[0, k], known[1, k] - known[0, k]]]
        sure[k] = float(fisher_exact(np.round(table).astype(int)).pvalue) < most
    return sure


def _told(column: Column, usual: np.ndarray, place: int, share: float, before: float) -> Moved:
    """Return what is said of the thing at an index of a column's counts. usual: (K, numbers of the column)"""
    if column.kind == "category":
        return Moved(column.name, f"are {column.all_values[place] or 'missing'}", share, before)
    if place == (1 if column.kind == "flag" else 2 * len(usual)):
        return Moved(column.name, "are missing", share, before)
    if column.kind == "flag":
        return Moved(column.name, f"are {column.values[1]}", share, before)
    is_below, rank = divmod(place, len(usual))
    edge = np.sort(usual[:, 0])[rank : rank + 1, None]
    (value,) = column.decode(np.concatenate([edge, np.zeros_like(edge)], axis=1)[:, : usual.shape[1]])
    more, fewer = ("are below", "are at least") if is_below else ("are at most", "are above")
    if share > before:
        return Moved(column.name, f"{more} {value}", share, before)
    return Moved(column.name, f"{fewer} {value}", 1 - share, 1 - before)


def _percent(share: float) -> str:
    """Return a share with two digits of what it is, or of what is left of it to 1: 47%, 1.6%, 0.025%, 99.98%."""
    rest = min(share, 1 - share)
    digits = max(0, 1 - math.floor(math.log10(100 * rest))) if 0 < rest < 0.0995 else 0
    return f"{share:.{min(digits, 6)}%}"
