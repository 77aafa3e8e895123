"""How much a value of a column adds to the score by itself, beside other values that suit it.

    r_j(v) = 5% quantile over rows z of (s(z with v in column j) - min_k s(z with the k-th usual value in column j))

The rows z are ordinary ones, such as samples of the model. A value that does not go with the other values of its own
row goes with those of some z, and r_j(v) is small. A value that is rare whatever the others are adds about as much in
each z. If s is a sum of scores of single columns, r_j(v) is the contribution c_j of each row that has v
(gen_models.anomalies.contributions).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.contributions import Groups, Steps, made_usual

SUITED = 0.05  # a value is judged beside the values of the rows z that suit it best, so large a share of them


class Rarity:
    """Computes r_j(v) for values of a table's columns.

    score     a function from rows to a score for each row
    ordinary  (rows, numbers): ordinary rows, each of whose values go with one another
    usual     the usual values that `marginals` returned
    groups    (first, last + 1) of the numbers of each column; steps: those of columns that are numbers
    """

    def __init__(
        self,
        score: Callable[[Tensor], Tensor],
        ordinary: Float[Tensor, "rows numbers"],
        usual: Float[Tensor, "k numbers"],
        groups: Groups,
        steps: Steps | None = None,
    ):
        self._score, self._ordinary, self._usual, self._groups, self._steps = score, ordinary, usual, groups, steps
        self._least: dict[int, Tensor] = {}  # of each column, the scores of the ordinary rows with its best usual value
        self._known: dict[tuple[int, tuple[float, ...]], float] = {}

    def of(self, j: int, value: Float[Tensor, " _"]) -> float:
        """Return r_j(v), in the score's unit. j: the place of the column among the groups; value: its numbers"""
        key = (j, tuple(value.tolist()))
        if key not in self._known:
            if j not in self._least:
                groups = [self._groups[j]] * len(self._ordinary)
                least = made_usual(self._score, self._ordinary, self._usual, groups, self._steps)
                self._least[j] = self._score(least).double()
            placed = self._ordinary.clone()
            placed[:, slice(*self._groups[j])] = value.to(placed.dtype)
            added = self._score(placed).double() - self._least[j]
            ordered = added.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf).sort().values
            self._known[key] = float(ordered[int(SUITED * len(ordered))])
        return self._known[key]
