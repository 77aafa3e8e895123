"""Finds the columns of a table in which new rows differ from training rows.

A model's calibration keeps K = 16 usual values of each column: evenly spaced quantiles of m training rows. For each of
them, the share of new rows that are at most as large is compared with the share of usual values; for a category or a
flag, the share of each of its values; and for a column with missing values, the share of missing ones. The shares of
usual values are those of the training rows up to 1/K. Where values are missing, all shares but that of missing ones are
among the rows that have a value, and K, m and the number n of new rows count these rows only.

A column has moved if a share differs by more than 1/K + sqrt(ln(2 d/a)/2 (1/n + 1/m)), for d columns. By the inequality
of Dvoretzky, Kiefer and Wolfowitz (Massart, 1990), for all columns together this happens with a probability of about a
at most if nothing has changed. Differences of less than 1/K are not seen.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gen_models.anomalies.calibration import Calibration
from gen_models.anomalies.contributions import QUANTILES
from gen_models.table import Column, from_json, groups_of
from pipelines.evaluation.row_scores import REFERENCE_ROWS

LEAST = 1 / QUANTILES  # share of the rows: smaller ones, and smaller differences, are not seen


@dataclass(frozen=True)
class Moved:
    """A column that has moved. share, usual: of the new rows and of the training rows, those that `words` describes"""

    column: str
    words: str
    share: float
    usual: float

    def __str__(self) -> str:
        usual = f"about {self.usual:.0%}" if self.usual > 0 else f"fewer than {LEAST:.0%}"
        return f"{self.column}: {self.share:.0%} of the rows {self.words}, usually {usual}"


def column_drift(calibration: Calibration | None, facts: Mapping[str, Any]) -> "ColumnDrift | None":
    """Return a count of what new rows hold in each column; None for images, which have no columns.

    calibration: what the model keeps of its training rows, or None; facts: as for ColumnDrift
    """
    if calibration is None or calibration.usual is None:
        return None
    least = min(calibration.rows, REFERENCE_ROWS)  # an old file does not say how many training rows there were
    return ColumnDrift(calibration.usual.numpy(), facts, int(calibration.facts.get("training_rows", least)))


class ColumnDrift:
    """Counts what new rows hold in each column, block by block.

    usual          (K, numbers): usual values of each column, from gen_models.anomalies.contributions.marginals
    facts          what the model knows of its training data, from registry.serving.facts_of
    training_rows  m, how many rows the usual values come from
    """

    def __init__(self, usual: np.ndarray, facts: Mapping[str, Any], training_rows: int):
        self._usual = usual
        self._training_rows = training_rows
        self._groups = groups_of(facts)
        if "table" in facts:
            self._columns = from_json(facts["table"]["columns"]).columns
        else:
            self._columns = tuple(Column(name) for name in self._groups)
        self._rows = 0
        self._found = [0 * _counts(column, part, part) for column, part in self._parts(usual)]

    def add(self, x: np.ndarray) -> None:
        """Count rows (rows, numbers), which must have no problem."""
        self._rows += len(x)
        new = self._parts(x.astype(self._usual.dtype))
        for found, (column, part), (_, usual) in zip(self._found, new, self._parts(self._usual), strict=True):
            found += _counts(column, part, usual)

    def moved(self, level: float) -> list[Moved]:
        """Return the columns that have moved, the one that has moved most first.

        level: the probability of a false alarm, for all columns together
        """
        if not self._rows:
            return []
        found = []
        for counts, (column, usual) in zip(self._found, self._parts(self._usual), strict=True):
            known = _counts(column, usual, usual)
            with np.errstate(divide="ignore", invalid="ignore"):  # nothing is known of a thing counted among no rows
                shares, before = counts[0] / counts[1], known[0] / known[1]
                variance = 1 / counts[1] + len(usual) / (self._training_rows * known[1])
                margin = 1 / known[1] + np.sqrt(math.log(2 * len(self._columns) / level) / 2 * variance)
            beyond = np.nan_to_num(np.abs(shares - before) - margin, nan=-1.0)
            most = int(beyond.argmax())
            if beyond[most] > 0:
                found.append((beyond[most], _told(column, usual, most, shares[most], before[most])))
        return [moved for _, moved in sorted(found, key=lambda pair: -pair[0])]

    def _parts(self, x: np.ndarray) -> Iterator[tuple[Column, np.ndarray]]:
        for column, (first, end) in zip(self._columns, self._groups.values(), strict=True):
            yield column, x[:, first:end]


def _counts(column: Column, x: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return (2, things): how many of the rows x have each thing by which a column is compared, and of how many rows.

    The things are, for a category, each of its values; for a flag, its second word; for any other column, to be at most
    as large as each usual value. The last thing is to be missing. All others are counted among rows that are not.
    """
    if column.kind == "category":
        return np.stack([x.sum(axis=0), np.full(x.shape[1], len(x))]).astype(np.float64)
    is_missing = x[:, 1] >= 0.5 if x.shape[1] > 1 else np.zeros(len(x), dtype=bool)
    known = x[~is_missing, :1]
    has = known >= 0.5 if column.kind == "flag" else known <= np.sort(usual[:, 0])
    among = np.append(np.full(has.shape[1], len(known)), len(x))
    return np.stack([np.append(has.sum(axis=0), is_missing.sum()), among]).astype(np.float64)


def _told(column: Column, usual: np.ndarray, place: int, share: float, before: float) -> Moved:
    """Return what is said of the thing at an index of `_counts`."""
    if column.kind == "category":
        value = column.all_values[place] or "missing"
        return Moved(column.name, f"are {value}", share, before)
    if place == (1 if column.kind == "flag" else len(usual)):
        return Moved(column.name, "are missing", share, before)
    if column.kind == "flag":
        return Moved(column.name, f"are {column.values[1]}", share, before)
    edge = np.sort(usual[:, 0])[place : place + 1, None]
    is_alone = np.count_nonzero(usual[:, 0] == edge[0, 0]) == 1
    (value,) = column.decode(np.concatenate([edge, np.zeros_like(edge)], axis=1)[:, : usual.shape[1]])
    half = 0.5 / len(usual) if is_alone else 0.0  # half of the K-th part of the training rows is above its middle
    if share > before:
        return Moved(column.name, f"are at most {value}", share, max(0.0, before - half))
    return Moved(column.name, f"are above {value}", 1 - share, 1 - before + half)
