"""How much each column of a table's row adds to its anomaly score.

    c_j(x) = s(x) - min_v s(x with v in column j)

s is the score of the row x, and v goes through the column's usual values. For a number, a search between these follows,
since another column may leave a single value that goes with it, such as a price that is a rate times an amount. c_j is
how far the score would fall if only column j held another, usual value; to compute it, only values of s are needed. If
s is a sum of scores of single columns, c_j is the score of column j minus the smallest score of its usual values. If
two columns are usual each but unusual together, a change of either would make the row usual, and both have a large
contribution. If s is infinite, the columns whose usual values make it finite add inf, and the others 0. c_j is a
counterfactual in the sense of Wachter, Mittelstadt and Russell (2018), one column at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

QUANTILES = 16  # usual values of each column, by which it is replaced
TURN = 5  # by so many places each column's quantiles are rotated against those of the column before
PARTS = 12  # the search for a number divides each space between two usual values in so many parts
MINIMA = 3  # and goes on around so many of the lowest minima,
ROUNDS, POINTS = 4, 9  # each of the rounds in a quarter of the width of the one before
Group = tuple[int, int]
Groups = Sequence[Group]  # (first, last + 1) of the numbers of each column
Steps = Mapping[Group, float]  # of each column that is a number: its grid, the multiples of the step; 0: it has none


def marginals(
    x: Float[Tensor, "rows numbers"], groups: Groups, quantiles: int = QUANTILES
) -> Float[Tensor, "k numbers"]:
    """Return usual values of each column by itself, over the rows x: evenly spaced quantiles of a number.

    A category gets each of its values as often as it occurs, by the largest remainders, so that a value is there only
    if all more frequent ones are. The list of each column's values is rotated, by a different number of places for each
    column, so that the values in one row of the result come from different places of their lists, and the row is no row
    of the data.

    groups     (first, last + 1) of the numbers of each column
    quantiles  k, how many values of each column
    """
    places = ((torch.arange(quantiles) + 0.5) / quantiles * len(x)).long().clamp(max=len(x) - 1)
    found = torch.empty(quantiles, x.shape[1], dtype=x.dtype)
    for number, (first, end) in enumerate(groups):
        part = x[:, first:end]
        if end - first <= 2:  # a number with its indicator: among equal numbers, the missing ones come last
            part = part[part[:, -1].sort(stable=True).indices]
            values = part[part[:, 0].sort(stable=True).indices[places]]
        else:
            values = _by_shares(part, quantiles)
        found[:, first:end] = values.roll(number * TURN, dims=0)
    return found


def _by_shares(x: Float[Tensor, "rows numbers"], k: int) -> Float[Tensor, "k numbers"]:
    """Return k rows: each distinct row of x as often as its share says, by the largest remainders."""
    kinds, counts = x.unique(dim=0, return_counts=True)
    exact = counts.double() * k / len(x)
    seats = exact.floor().long()
    first = (exact - seats).sort(descending=True, stable=True).indices
    seats[first[: k - int(seats.sum())]] += 1
    return kinds.repeat_interleave(seats, dim=0)


@dataclass(frozen=True)
class Search:
    """Searches the usual value of a column that gives a row the lowest score.

    score   a function from rows to a score for each row
    usual   the usual values that `marginals` returned
    groups  (first, last + 1) of the numbers of each column
    steps   the columns that are numbers; between the usual values of any other column nothing is searched
    """

    score: Callable[[Tensor], Tensor]
    usual: Float[Tensor, "k numbers"]
    groups: Groups
    steps: Steps = field(default_factory=dict)

    def best(self, x: Float[Tensor, "rows numbers"], j: int) -> tuple[Float[Tensor, "rows _"], Float[Tensor, " rows"]]:
        """Return the value of column j that gives each row the lowest score, and this score; j counts the groups."""
        found, scores = self.among_usual(x, j)
        group = self.groups[j]
        values = self.usual[:, slice(*group)].to(x.dtype)
        known = (values if values.shape[1] == 1 else values[values[:, 1] == 0])[:, 0].unique()  # 1: it is missing
        if group not in self.steps or len(known) < 2 or not len(x):
            return found, scores
        between, least = self._between(x, known, group)
        is_less = least < scores
        found[is_less] = self._numbers(between[is_less, None], group)[:, 0]
        return found, torch.minimum(scores, least)

    def among_usual(
        self, x: Float[Tensor, "rows numbers"], j: int
    ) -> tuple[Float[Tensor, "rows _"], Float[Tensor, " rows"]]:
        """Return what `best` returns, without values between the usual ones."""
        group = self.groups[j]
        values = self.usual[:, slice(*group)].to(x.dtype).unique(dim=0)
        scores, places = self._scores(x, values.expand(len(x), -1, -1), group).min(dim=1)
        return values[places], scores

    def _between(
        self, x: Float[Tensor, "rows numbers"], known: Float[Tensor, " k"], group: Group
    ) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
        """Return the number between the usual ones that gives each row the lowest score, and this score.

        A score may have several minima along a column, such as one for each component of a mixture.
        known: the usual numbers, ascending
        """
        parts = torch.arange(PARTS, dtype=x.dtype) / PARTS
        grid = torch.cat([(known[:-1, None] + known.diff()[:, None] * parts).flatten(), known[-1:]])
        grid = self._on_grid(grid, group).unique()
        scores = self._scores(x, self._numbers(grid.expand(len(x), -1), group), group)
        around = torch.nn.functional.pad(scores, (1, 1), value=torch.inf)
        is_minimum = (scores <= around[:, :-2]) & (scores <= around[:, 2:])
        count = min(MINIMA, len(grid))
        places = scores.where(is_minimum, torch.inf).topk(count, dim=1, largest=False).indices.flatten()

        best, least = grid[places], scores.gather(1, places.view(len(x), count)).flatten()
        low, high = grid[(places - 1).clamp(min=0)], grid[(places + 1).clamp(max=len(grid) - 1)]
        rows = x.repeat_interleave(count, dim=0)
        for _ in range(ROUNDS):
            if bool((high - low <= 2 * self.steps[group]).all()):  # each number of the grid was tried
                break
            tried = low[:, None] + (high - low)[:, None] * torch.linspace(0, 1, POINTS, dtype=x.dtype)
            tried = self._on_grid(tried, group)
            scores, places = self._scores(rows, self._numbers(tried, group), group).min(dim=1)
            best = torch.where(scores < least, tried.gather(1, places[:, None])[:, 0], best)
            least, reach = torch.minimum(scores, least), (high - low) / (POINTS - 1)
            low, high = torch.maximum(low, best - reach), torch.minimum(high, best + reach)
        least, places = least.view(len(x), count).min(dim=1)
        return best.view(len(x), count).gather(1, places[:, None])[:, 0], least

    def _on_grid(self, numbers: Float[Tensor, "*rows"], group: Group) -> Float[Tensor, "*rows"]:
        step = self.steps[group]
        return (numbers / step).round() * step if step else numbers

    @staticmethod
    def _numbers(numbers: Float[Tensor, "rows k"], group: Group) -> Float[Tensor, "rows k _"]:
        """Return the values of a column that stand for these numbers; none of them is missing."""
        return torch.nn.functional.pad(numbers[:, :, None], (0, group[1] - group[0] - 1))

    def _scores(
        self, x: Float[Tensor, "rows numbers"], values: Float[Tensor, "rows k _"], group: Group
    ) -> Float[Tensor, "rows k"]:
        """Return the scores of each row with one column replaced by each of its values; inf where a score is nan."""
        count = values.shape[1]
        replaced = x.repeat_interleave(count, dim=0)
        replaced[:, slice(*group)] = values.reshape(len(x) * count, -1)
        scores = self.score(replaced).double().view(len(x), count)
        return scores.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def fall(whole: Float[Tensor, "..."], least: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return whole - least, how far scores fall; 0 where both are infinite. The shapes are broadcast."""
    return (whole.double() - least.double()).nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
