"""How much a value of a column adds to the score by itself, beside other values that suit it.

    r_j(v) = 5% quantile over rows z of (s(z with v in column j) - min(s(z), min_k s(z with usual value k in column j)))

The rows z are ordinary ones, such as samples of the model. A value that does not go with the other values of its own
row goes with those of some z, and r_j(v) is small. A value that is rare whatever the others are adds about as much in
each z. If s is a sum of scores of single columns, r_j(v) is how much v adds beyond the least of the usual values in
each row that has it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.contributions import Search, fall

SUITED = 0.05  # a value is judged beside the values of the rows z that suit it best, so large a share of them


class Rarity:
    """Computes r_j(v) for values of a table's columns.

    search    the score, and the usual values of each column
    ordinary  (rows, numbers): ordinary rows, each of whose values go with one another
    """

    def __init__(self, search: Search, ordinary: Float[Tensor, "rows numbers"]):
        self._search, self._ordinary = search, ordinary
        self._own = search.score(ordinary).double()
        self._least: dict[int, Tensor] = {}  # of each column, the scores of the ordinary rows with its best value
        self._known: dict[tuple[int, tuple[float, ...]], float] = {}

    def of(self, j: int, value: Float[Tensor, " _"]) -> float:
        """Return r_j(v), in the score's unit. j: the place of the column among the groups; value: its numbers"""
        key = (j, tuple(value.tolist()))
        if key not in self._known:
            if j not in self._least:
                self._least[j] = torch.minimum(self._own, self._search.among_usual(self._ordinary, j)[1])
            placed = self._ordinary.clone()
            placed[:, slice(*self._search.groups[j])] = value.to(placed.dtype)
            added = fall(self._search.score(placed), self._least[j])
            self._known[key] = float(added.sort().values[int(SUITED * len(added))])
        return self._known[key]
