"""Finds the columns of a table's row to which its large anomaly score is due.

The search goes in rounds. Each names the column whose best usual value makes the score fall furthest, gives the row
this value, and another round follows while the row's score is still above an ordinary one's:

1. Columns far out together, such as an amount and the price that follows from it, may add little each, since no other
   value of one goes with the other. So all columns whose values are not usual are also replaced together, by the values
   of an ordinary row. If the score falls further than by any single column, they are named, except for those without
   which it falls almost as far.
2. If the values of two columns do not go together, nobody can tell which of them is wrong. So beside the column that is
   named first, others are named that make the row nearly as ordinary by themselves. A column whose value is not usual
   is named first if the score falls nearly as far by it as by the best one.

If the rounds leave more than half of what the score is above an ordinary one's, no usual value and no ordinary row goes
with the other columns, such as the price of another rate and tax. Then the columns whose values are not usual are
named, the rarest first.

A value is unfit if it does not go with the row's other values. Otherwise it is rare, whatever the others are
(UnusualColumns._unfit tells which).
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.contributions import Search, fall
from gen_models.anomalies.rarity import Rarity

ROUNDS = 3
AS_FAR = 0.9  # a column is named first only if it adds at least this fraction of what the best one adds
BESIDE = 0.5  # and another beside it only if it adds at least this fraction
HALF = 0.5  # the rounds explain a row if they take away so much of what its score is above an ordinary one
WITHOUT = 0.1  # a column is one of several if without it the score falls less, by this fraction
BY_ITSELF = 0.25  # a value that adds at least this fraction of its contribution beside values that suit it is rare


@dataclass(frozen=True)
class Named:
    """A column to which a row's score is due.

    column    its place among the groups
    is_unfit  whether its value would add much less beside other values of other columns
    """

    column: int
    is_unfit: bool = False


@dataclass(frozen=True)
class _Round:
    """What a round found of one row.

    row      (numbers,), the row before the round
    added    what each column adds to its score
    best     the usual value of each column that gives it the lowest score
    columns  the places of the columns that the round names
    is_joint whether they are far out together: then all of them are replaced, otherwise the first
    after    (numbers,), the row after the round
    """

    row: Tensor
    added: Tensor
    best: Sequence[Tensor]
    columns: Sequence[int]
    is_joint: bool
    after: Tensor


class UnusualColumns:
    """Finds the columns to which the scores of rows are due.

    search  the score, and the usual values of each column
    edge    the largest score of an ordinary row; if it is inf, there is one round only
    spread  how far ordinary scores lie apart: a column makes a row nearly as ordinary as another if it leaves the score
            at most so much larger
    draw    a function that returns ordinary rows, (rows, numbers), such as samples of the model, or None
    """

    def __init__(self, search: Search, edge: float, spread: float, draw: Callable[[], Tensor | None]):
        self._search, self._edge, self._spread, self._draw = search, edge, spread, draw
        self._is_drawn = False
        self._ordinary: Tensor | None = None
        self._rarity: Rarity | None = None

    def of(
        self, x: Float[Tensor, "rows numbers"], odd: Sequence[Collection[int]]
    ) -> tuple[Float[Tensor, "rows columns"], list[list[Named]]]:
        """Return what each column adds to each row's score, and the columns that each row's score is due to.

        odd: the places of the columns whose values in the row are not usual
        """
        named: list[dict[int, _Round]] = [{} for _ in x]  # of each row, {column: the round that has named it}
        whole = self._search.score(x).double()
        left = whole.clone()  # of each row, after its last round
        first = found = self._round(x, whole, odd)
        places = list(range(len(x)))
        for number in range(1, ROUNDS + 1):
            for k, one in zip(places, found, strict=True):
                named[k] |= {j: one for j in one.columns if j not in named[k]}
            rest = torch.stack([one.after for one in found])
            left[places] = scores = self._search.score(rest).double()
            goes_on = (scores > self._edge) & torch.tensor([bool(one.columns) for one in found])
            if number == ROUNDS or not goes_on.any():
                break
            places = [k for k, still in zip(places, goes_on.tolist(), strict=True) if still]
            found = self._round(rest[goes_on], scores[goes_on], [set(odd[k]).difference(named[k]) for k in places])
        unfit = self._unfit([(k, j, one) for k in range(len(x)) for j, one in named[k].items() if not one.is_joint])
        columns = [[Named(j, (k, j) in unfit) for j in named[k]] for k in range(len(x))]
        excess, rest = whole - self._edge, left - self._edge
        for k, is_open in enumerate(((excess > 0) & (rest > HALF * excess)).tolist()):
            if is_open and len(odd[k]) > 1:
                columns[k] = [Named(j) for j in self._rarest_first(x[k], first[k].added, odd[k])]
        return torch.stack([one.added for one in first]), columns

    def _rarest_first(self, row: Float[Tensor, " numbers"], added: Tensor, odd: Collection[int]) -> list[int]:
        """Return the odd columns by how much their values add whatever the others are, then by what they add here."""
        by_itself = {j: self._added_by_itself(j, row) or 0.0 for j in odd}
        return sorted(odd, key=lambda j: (-by_itself[j], -float(added[j]), j))

    def _round(
        self, x: Float[Tensor, "rows numbers"], whole: Float[Tensor, " rows"], odd: Sequence[Collection[int]]
    ) -> list[_Round]:
        """Return what one round finds of each row.

        whole: the rows' scores; odd: the columns of each row whose values are not usual
        """
        found = [self._search.best(x, j) for j in range(len(self._search.groups))]
        least = torch.stack([scores for _, scores in found], dim=1)
        added = fall(whole[:, None], least)
        rounds = []
        for k, row in enumerate(x):
            best = [values[k] for values, _ in found]
            columns, after = self._together(row, whole[k], sorted(odd[k]), float(added[k].max()))
            is_joint = after is not None
            if after is None:
                columns = self._alone(added[k].tolist(), least[k].tolist(), odd[k])
                after = self._with(row, columns[0], best[columns[0]]) if columns else row
            rounds.append(_Round(row, added[k], best, columns, is_joint, after))
        return rounds

    def _alone(self, added: Sequence[float], least: Sequence[float], odd: Collection[int]) -> list[int]:
        """Return the column that is named first, and those that are named beside it.

        added: what each column adds; least: the score of the row without it
        """
        order = sorted(range(len(added)), key=lambda j: -added[j])
        most = added[order[0]]
        if most <= 0:
            return []
        first = next((j for j in order if added[j] >= AS_FAR * most and j in odd), order[0])
        others = [j for j in order if added[j] >= BESIDE * most and least[j] <= least[first] + self._spread]
        return [first, *(j for j in order if j in others and j != first)]

    def _together(
        self, row: Float[Tensor, " numbers"], whole: Tensor, odd: Sequence[int], most: float
    ) -> tuple[list[int], Tensor | None]:
        """Return those of the odd columns that are far out together, and the row with an ordinary row's values there.

        whole: the score of the row; most: how far it falls by any single column. None if that is further.
        """
        ordinary = self._rows(row.dtype) if len(odd) > 1 else None
        if ordinary is None:
            return [], None
        least, place = self._least(row, odd, ordinary)
        reached = float(fall(whole, torch.tensor(least)))
        if not max(most, 0) < reached < math.inf:
            return [], None
        without = {j: self._least(row, [other for other in odd if other != j], ordinary)[0] for j in odd}
        columns = [j for j in odd if without[j] - least > WITHOUT * reached]
        after = row
        for j in columns:
            after = self._with(after, j, ordinary[place, slice(*self._search.groups[j])])
        return columns, after if columns else None

    def _least(
        self, row: Float[Tensor, " numbers"], columns: Sequence[int], ordinary: Float[Tensor, "k numbers"]
    ) -> tuple[float, int]:
        """Return the least score with the values of one ordinary row in these columns, and which row it is."""
        placed = row.repeat(len(ordinary), 1)
        for group in (slice(*self._search.groups[j]) for j in columns):
            placed[:, group] = ordinary[:, group]
        least, place = self._search.score(placed).double().nan_to_num(nan=math.inf).min(dim=0)
        return float(least), int(place)

    def _unfit(self, asked: Sequence[tuple[int, int, _Round]]) -> set[tuple[int, int]]:
        """Return (row, column) of the values that add much less beside other values: those of ordinary rows, or one
        other usual value.

        A column i with such an effect adds at least as much itself, since the fall of the score by i and then by this
        column is at least the fall by this column alone.
        asked: the places of rows, columns, and the rounds that named them
        """
        found, rest = set(), dict[int, list[tuple[int, Tensor, float]]]()
        for k, j, one in asked:
            most = BY_ITSELF * float(one.added[j])
            by_itself = self._added_by_itself(j, one.row)
            if by_itself is not None and by_itself < most:
                found.add((k, j))
                continue
            others = [i for i, adds in enumerate(one.added) if i != j and adds >= one.added[j] - most]
            rest.setdefault(j, []).extend((k, self._with(one.row, i, one.best[i]), most) for i in others)
        for j, beside in rest.items():
            if beside:
                rows = torch.stack([row for _, row, _ in beside])
                added = fall(self._search.score(rows), self._search.best(rows, j)[1]).tolist()
                found |= {(k, j) for (k, _, most), adds in zip(beside, added, strict=True) if adds < most}
        return found

    def _added_by_itself(self, j: int, row: Float[Tensor, " numbers"]) -> float | None:
        """Return how much a value of the row adds beside values that suit it; None if there are no ordinary rows."""
        ordinary = self._rows(row.dtype)
        if ordinary is None:
            return None
        if self._rarity is None:
            self._rarity = Rarity(self._search, ordinary)
        return self._rarity.of(j, row[slice(*self._search.groups[j])])

    def _rows(self, dtype: torch.dtype) -> Tensor | None:
        if not self._is_drawn:
            self._ordinary, self._is_drawn = self._draw(), True
        return None if self._ordinary is None else self._ordinary.to(dtype)

    def _with(self, row: Float[Tensor, " numbers"], j: int, values: Float[Tensor, " _"]) -> Float[Tensor, " numbers"]:
        placed = row.clone()
        placed[slice(*self._search.groups[j])] = values
        return placed
