"""Says why a row is anomalous: for a table, which columns add most to its score; for an image, where its error lies.

The reason for a row of a table names these columns, their values in the row as the user's table has them, and their
usual values:

    amount 9400 (usually 3.1 to 220); shop web (usually north, south)

A value can be usual and yet add much to the score, because it does not go with the values of other columns, or because
it is rarer than other usual values, whatever the others are (Reasons._depends tells which):

    gear 5 (usual, but not with the other values)
    insured no (11% of the training rows); amount 140 (among the usual 3.1 to 220)

Columns whose values are unusual together are named first (Reasons._first). Beside a column whose value is not usual,
another is named only if it also adds to the score once that column has a usual value: an extreme value does not go with
those of other columns, whatever these are. If the row would be unusual even then, the columns that add most to what is
left are named too.

How much a column adds to a score is how far the score would fall if this column alone had a usual value
(gen_models.anomalies.contributions).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gen_models.anomalies.calibration import Calibration
from gen_models.anomalies.conformal import threshold
from gen_models.anomalies.contributions import contributions, made_usual
from gen_models.anomalies.rarity import Rarity
from gen_models.anomalies.scores import FittedScores
from gen_models.contracts import Reconstructor, Sampler
from gen_models.noise import Noise
from gen_models.table import Column, from_json, groups_of
from pipelines.evaluation.score_sheet import USUAL_RATE, maps_of

MOST_COLUMNS = 3  # a reason names at most so many columns
LEAST_SHARE = 0.1  # a column that adds less than this fraction of what the first column adds is not named
LEAST_LEFT = 0.5  # nor one of whose contribution less is left when the first column has a usual value; see above
MOST_WORDS = 4  # a reason names at most so many usual values of a category
DRAWN = 256  # rows that the model draws
BY_ITSELF = 0.25  # a value that adds at least this fraction of its contribution beside values that suit it is rare


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
        self._usual = known.usual if known else None
        scores = known.scores.get(name) if known else None
        self._edge = threshold(scores, USUAL_RATE) if scores is not None else math.inf
        columns = from_json(facts["table"]["columns"]).columns if facts.get("table") else ()
        self._times = {column.name for column in columns if column.kind == "time"}
        pairs = zip(columns, known.counts if known else (), strict=False)
        self._shares = {
            column.name: _shares_of(column, count) for column, count in pairs if column.kind in ("category", "flag")
        }
        self._rarity: Rarity | None = None
        self._ordinary: torch.Tensor | None = None  # rows that the model draws
        self._is_image = len(facts["event_shape"]) == 3
        self._groups = {} if self._is_image else groups_of(facts)
        steps = {column.name: column.levels[0] or 0 for column in columns if column.kind not in ("category", "flag")}
        self._steps = {
            group: steps.get(name, 0) for name, group in self._groups.items() if name in steps or not columns
        }
        self._ranges = {} if self._usual is None or self._is_image else self._usual_ranges(self._usual.numpy())

    @property
    def why_none(self) -> str:
        """Why this model's scores cannot be explained; "" if they can."""
        if self._is_image:
            has_maps = isinstance(self._fitted.model, Reconstructor)
            return "" if has_maps else f"no reasons: {type(self._fitted.model).__name__} does not rebuild images"
        return (
            ""
            if self._usual is not None
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
        assert self._usual is not None
        rows, groups = torch.from_numpy(x), list(self._groups.values())
        usual, words, score = self._usual.to(rows.dtype), self._words(x), self._score

        added = contributions(score, rows, usual, groups, self._steps).numpy()
        parts = [self._parts(added[k], {name: words[name][k] for name in self._groups}) for k in range(len(x))]
        named = [_named(row) for row in parts]
        first = [self._first(row, z) for row, z in zip(parts, rows, strict=True)]
        places = [k for k, (columns, _, _) in enumerate(first) if columns]
        if places:
            rest = rows.clone()
            for k, (columns, drawn, _) in enumerate(first):
                if drawn is not None:
                    for group in (slice(*self._groups[column]) for column in columns):
                        rest[k, group] = drawn[group]
            alone = [k for k in places if first[k][1] is None]
            tops = [self._groups[parts[k][0]["column"]] for k in alone]
            rest[alone] = made_usual(score, rows[alone], usual, tops, self._steps)
            is_unusual = (score(rest[places]) > self._edge).tolist()
            left = contributions(score, rest[places], usual, groups, self._steps).numpy()
            for k, row, is_left in zip(places, left, is_unusual, strict=True):
                still, (columns, _, fall) = dict(zip(self._groups, row, strict=True)), first[k]
                own = {
                    part["column"]
                    for part in named[k]
                    if part["adds"] > LEAST_SHARE * fall and still[part["column"]] >= LEAST_LEFT * part["adds"]
                }
                if is_left:
                    own |= {column for column, adds in still.items() if adds >= LEAST_LEFT * max(row)}
                others = [part for part in parts[k] if part["column"] in own - columns]
                named[k] = [part for part in parts[k] if part["column"] in columns] + others
        told = [self._told(named[k][:MOST_COLUMNS], parts[k], rows[k]) for k in range(len(rows))]
        return [Reason(text, every) for text, every in zip(told, parts, strict=True)]

    def _first(
        self, parts: Sequence[Mapping[str, Any]], row: torch.Tensor
    ) -> tuple[set[str], torch.Tensor | None, float]:
        """Return the columns of unusual values that a reason names first, the drawn row whose values replace them, and
        how far the score falls by these. For a single column the row is None, and its usual values replace it.

        It is the column that adds most if its value is unusual. Several columns that are unusual together, such as an
        amount and the price that follows from it, may add little each, since no other value of one goes with the other.
        So they are also replaced together, by the values of a row that the model draws: if the score falls further
        than by any single column, they are named, except for those without which it falls almost as far.
        parts: all columns, the one that adds most first; row: (numbers,)
        """
        odd = [part["column"] for part in parts if not self._is_usual(part)]
        drawn = self._drawn(row.dtype) if len(odd) > 1 else None
        if drawn is not None:
            least, place = self._least(row, odd, drawn)
            fall = float(self._score(row[None])[0]) - least
            if math.inf > fall > max(parts[0]["adds"], 0):
                without = {one: self._least(row, [other for other in odd if other != one], drawn)[0] for one in odd}
                return {one for one in odd if without[one] - least > LEAST_SHARE * fall}, drawn[place], fall
        top, fall = parts[0]["column"], parts[0]["adds"]
        if top not in odd or fall <= 0:
            return set(), None, 0.0
        return {top}, None, fall

    def _least(self, row: torch.Tensor, columns: Sequence[str], drawn: torch.Tensor) -> tuple[float, int]:
        """Return the least score with the values of one drawn row in these columns, and which row it is."""
        placed = row.repeat(len(drawn), 1)
        for column in columns:
            group = slice(*self._groups[column])
            placed[:, group] = drawn[:, group]
        least, place = self._score(placed).double().nan_to_num(nan=math.inf).min(dim=0)
        return float(least), int(place)

    def _drawn(self, dtype: torch.dtype) -> torch.Tensor | None:
        """Return rows that the model draws, or None if it draws none."""
        model = self._fitted.model
        if self._ordinary is None and isinstance(model, Sampler):
            with torch.no_grad():
                self._ordinary = model.sample(DRAWN, Noise(0))
        return None if self._ordinary is None else self._ordinary.to(dtype)

    def _score(self, z: torch.Tensor) -> torch.Tensor:
        return self._fitted(self._name, z)

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

    def _told(self, named: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]], row: torch.Tensor) -> str:
        texts = [f"{part['column']} {_shown(part['value'])} ({self._beside(part, parts, row)})" for part in named]
        return "; ".join(texts) or "no single column stands out"

    def _beside(self, part: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], row: torch.Tensor) -> str:
        """Return what is said of a value beside it. parts: all columns; row: (numbers,), the row that has it"""
        if not self._is_usual(part):
            return f"usually {part['usual']}"
        if self._depends(part, parts, row):
            return "usual, but not with the other values"
        share = self._shares.get(part["column"], {}).get(part["value"])
        return f"among the usual {part['usual']}" if share is None else f"{share:.0%} of the training rows"

    def _depends(self, part: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], row: torch.Tensor) -> bool:
        """Return whether a value adds much less beside other values: those of drawn rows, or one other usual value.

        parts: all columns. A column i with such an effect adds at least as much itself, since the fall of the score by
        i and then by this column is at least the fall by this column alone.
        """
        assert self._usual is not None
        most, name = BY_ITSELF * part["adds"], part["column"]
        by_itself = self._added_by_itself(name, row)
        if by_itself is not None and by_itself < most:
            return True
        least = part["adds"] - most
        others = [self._groups[one["column"]] for one in parts if one is not part and one["adds"] >= least]
        if not others:
            return False
        usual = self._usual.to(row.dtype)
        beside = made_usual(self._score, row.repeat(len(others), 1), usual, others, self._steps)
        return bool((contributions(self._score, beside, usual, [self._groups[name]], self._steps) < most).any())

    def _added_by_itself(self, column: str, row: torch.Tensor) -> float | None:
        """Return how much a value of the row adds beside values that suit it; None if the model draws no rows."""
        drawn = self._drawn(row.dtype)
        if self._usual is None or drawn is None:
            return None
        if self._rarity is None:
            usual, groups = self._usual.to(row.dtype), list(self._groups.values())
            self._rarity = Rarity(self._score, drawn, usual, groups, self._steps)
        return self._rarity.of(list(self._groups).index(column), row[slice(*self._groups[column])])

    def _is_usual(self, part: Mapping[str, Any]) -> bool:
        return self._ranges[part["column"]].holds(part["value"])

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


def _named(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns of a row that may be named; parts: all of them, the one that adds most first."""
    least = LEAST_SHARE * max(parts[0]["adds"], 0)  # inf if a column adds inf: then only such columns are named
    return [part for part in parts if part["adds"] > least or part["adds"] == math.inf]


def _around(place: int, size: int) -> slice:
    """Return the slice of about an eighth of an axis around an index; size: the length of the axis."""
    reach = max(1, size // 16)
    return slice(max(0, place - reach), place + reach + 1)


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
