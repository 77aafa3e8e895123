"""Says why a row is anomalous: for a table, which columns add most to its score; for an image, where its error lies.

The reason for a row of a table names these columns, their values in the row as the user's table has them, and their
usual values:

    amount 9400 (usually 3.1 to 220); shop web (usually north, south)

A value can be usual and yet add much to the score, because it does not go with the values of other columns, or because
it is rarer than other usual values, whatever the others are:

    gear 5 (usual, but not with the other values)
    insured no (11% of the training rows); amount 140 (among the usual 3.1 to 220)

gen_models.anomalies.unusual_columns finds the columns and tells these two apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gen_models.anomalies.calibration import Calibration
from gen_models.anomalies.conformal import threshold
from gen_models.anomalies.contributions import Search
from gen_models.anomalies.scores import FittedScores
from gen_models.anomalies.unusual_columns import Named, UnusualColumns
from gen_models.contracts import Reconstructor, Sampler
from gen_models.noise import Noise
from gen_models.table import Column, from_json, groups_of
from pipelines.evaluation.score_sheet import USUAL_RATE, maps_of

MOST_COLUMNS = 3  # a reason names at most so many columns
MOST_WORDS = 4  # a reason names at most so many usual values of a category
DRAWN = 256  # rows that the model draws


@dataclass(frozen=True)
class Reason:
    """Why one row is anomalous.

    text   the reason in words, for readers
    parts  for a table {"column", "value", "adds", "usual"} for each column, the one that adds most first; () for images
    """

    text: str
    parts: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class _Usual:
    """text: usual values of a column in words; least, most: of numbers or ISO times; words: of any other column."""

    text: str
    least: Any = 0.0
    most: Any = 0.0
    words: frozenset[Any] | None = None

    def holds(self, value: Any) -> bool:
        if self.words is not None:
            return value in self.words
        return value is not None and self.least <= value <= self.most


class Reasons:
    """Explains why rows have large values of one anomaly score of a model.

    fitted  the model's anomaly scores; name: which of them is explained
    known   the model's calibration, or None: then rows of a table cannot be explained. With its counts, the usual
            values of a category or flag are those of one row in 16 or more or, if no value has so many, those that are
            at least half as frequent as the most frequent one; without counts, those among its usual values
    facts   event_shape, levels, statistics and, for a table, its columns, as `pipelines.registry.serving.answer`
            takes them
    """

    def __init__(
        self,
        fitted: FittedScores,
        name: str,
        known: Calibration | None,
        facts: Mapping[str, Any],
    ):
        self._fitted, self._name, self._facts = fitted, name, facts
        columns = from_json(facts["table"]["columns"]).columns if facts.get("table") else ()
        self._times = {column.name for column in columns if column.kind == "time"}
        pairs = zip(columns, known.counts if known else (), strict=False)
        self._shares = {
            column.name: _shares_of(column, count) for column, count in pairs if column.kind in ("category", "flag")
        }
        self._is_image = len(facts["event_shape"]) == 3
        self._groups = {} if self._is_image else groups_of(facts)
        grids = {column.name: column.levels[0] or 0 for column in columns if column.kind not in ("category", "flag")}
        steps = {group: grids.get(name, 0) for name, group in self._groups.items() if name in grids or not columns}
        self._unusual: UnusualColumns | None = None
        if known and known.usual is not None and not self._is_image:
            self._ranges = self._usual_ranges(known.usual.numpy())
            scores = known.scores.get(name)
            edge = threshold(scores, USUAL_RATE) if scores is not None else math.inf
            spread = edge - float(np.median(scores)) if scores is not None else 0.0
            search = Search(self._score, known.usual, list(self._groups.values()), steps)
            self._unusual = UnusualColumns(search, edge, spread, self._draw)

    @property
    def why_none(self) -> str:
        """Why this model's scores cannot be explained; "" if they can."""
        if self._is_image:
            has_maps = isinstance(self._fitted.model, Reconstructor)
            return "" if has_maps else f"no reasons: {type(self._fitted.model).__name__} does not rebuild images"
        return (
            ""
            if self._unusual is not None
            else "no reasons: the model has no calibration rows, nor usual values of its columns"
        )

    @property
    def columns(self) -> int:
        """How many columns a table's rows have; 0 for images."""
        return len(self._groups)

    def of(self, x: np.ndarray) -> list[Reason]:
        """Return the reason for each row; a reason is empty if scores cannot be explained.

        x: (rows, *event), in the data's units
        """
        if self.why_none or not len(x):
            return [Reason("")] * len(x)
        return self._of_images(x) if self._is_image else self._of_table(x)

    def _of_images(self, x: np.ndarray) -> list[Reason]:
        found = []
        for error in maps_of(self._fitted, x):
            row, column = map(int, np.unravel_index(int(error.argmax()), error.shape))
            share = error[_around(row, error.shape[0]), _around(column, error.shape[1])].sum() / max(error.sum(), 1e-30)
            place = f"pixel row {row}, column {column} of {error.shape[0]}x{error.shape[1]}, counted from 0"
            found.append(Reason(f"rebuilt worst around {place} ({share:.0%} of the error)"))
        return found

    def _of_table(self, x: np.ndarray) -> list[Reason]:
        assert self._unusual is not None
        rows, words, names = torch.from_numpy(x), self._words(x), list(self._groups)
        values = [{name: words[name][k] for name in names} for k in range(len(x))]
        odd = [[j for j, name in enumerate(names) if not self._ranges[name].holds(row[name])] for row in values]
        added, named = self._unusual.of(rows, odd)
        return [
            Reason(self._told(columns, row), self._parts(adds, row))
            for columns, row, adds in zip(named, values, added.numpy(), strict=True)
        ]

    def _score(self, z: torch.Tensor) -> torch.Tensor:
        return self._fitted(self._name, z)

    def _draw(self) -> torch.Tensor | None:
        """Return rows that the model draws, or None if it draws none."""
        if not isinstance(self._fitted.model, Sampler):
            return None
        with torch.no_grad():
            return self._fitted.model.sample(DRAWN, Noise(0))

    def _parts(self, added: np.ndarray, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        names = list(self._groups)
        return [
            {
                "column": names[j],
                "value": values[names[j]],
                "adds": float(added[j]),
                "usual": self._ranges[names[j]].text,
            }
            for j in np.argsort(-added, kind="stable")
        ]

    def _told(self, named: Sequence[Named], values: Mapping[str, Any]) -> str:
        texts = []
        for found in named[:MOST_COLUMNS]:
            name = list(self._groups)[found.column]
            texts.append(f"{name} {_shown(values[name])} ({self._beside(name, values[name], found.is_unfit)})")
        return "; ".join(texts) or "no single column stands out"

    def _beside(self, name: str, value: Any, is_unfit: bool) -> str:
        """Return what is said of a value beside it."""
        usual = self._ranges[name]
        if not usual.holds(value):
            return f"usually {usual.text}" + (", and not with the other values" if is_unfit else "")
        if is_unfit:
            return "usual, but not with the other values"
        share = self._shares.get(name, {}).get(value)
        return f"among the usual {usual.text}" if share is None else f"{share:.0%} of the training rows"

    def _words(self, x: np.ndarray) -> dict[str, list[Any]]:
        """Return {column: its value in each row} for rows x, as the user's table has them."""
        if "table" in self._facts:
            return from_json(self._facts["table"]["columns"]).decode(x)
        return {name: [float(value) for value in x[:, first]] for name, (first, _) in self._groups.items()}

    def _usual_ranges(self, usual: np.ndarray) -> dict[str, _Usual]:
        words, found = self._words(usual), {}
        for name, values in words.items():
            known = [value for value in values if value is not None]
            is_ordered = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known)
            if known and (is_ordered or name in self._times):  # ISO times are in the order of their texts
                low, high = min(known), max(known)
                found[name] = _Usual(_shown(low) if low == high else f"{_shown(low)} to {_shown(high)}", low, high)
            else:
                shares = self._shares.get(name) or {value: values.count(value) / len(values) for value in values}
                most = max(shares.values())
                least = 1 / len(values) if most >= 1 / len(values) else most / 2
                values = [value for value, share in shares.items() if share >= least]
                often = sorted((value for value in values if value is not None), key=lambda v: (-shares[v], str(v)))
                more = f" and {len(often) - MOST_WORDS} more" if len(often) > MOST_WORDS else ""
                text = ", ".join(map(_shown, often[:MOST_WORDS])) + more or "missing"
                found[name] = _Usual(text, words=frozenset(values))
        return found


def _shares_of(column: Column, counts: np.ndarray) -> dict[str | None, float]:
    """Return {value of a category or flag, None for a missing one: its share}. counts: see column_counts.py"""
    shares = counts[0] / counts[1]
    if column.kind == "flag":  # its second word is counted
        shares = np.array([1 - shares[0], shares[0]])
    return dict(zip((value or None for value in column.all_values), shares.tolist(), strict=True))


def _around(place: int, size: int) -> slice:
    """Return the slice of about an eighth of an axis around an index; size: the length of the axis."""
    reach = max(1, size // 16)
    return slice(max(0, place - reach), place + reach + 1)


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
