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

import torch
from jaxtyping import Float
from torch import Tensor

QUANTILES = 16  # usual values of each column, by which it is replaced
TURN = 5  # by so many places each column's quantiles are rotated against those of the column before
ROUNDS, POINTS = 4, 17  # of the search for a number between its usual values; each round has an eighth of the width
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


def contributions(
    score: Callable[[Tensor], Tensor],
    x: Float[Tensor, "rows numbers"],
    usual: Float[Tensor, "k numbers"],
    groups: Groups,
    steps: Steps | None = None,
) -> Float[Tensor, "rows columns"]:
    """Return how much each column adds to each row's score, c_j(x), in the score's unit.

    score   a function from rows to a score for each row
    usual   the usual values that `marginals` returned
    groups  (first, last + 1) of the numbers of each column
    steps   the columns that are numbers; between the usual values of any other column nothing is searched
    """
    whole, found = score(x).double(), []
    for group in groups:
        added = whole - _best_usual(score, x, usual, group, steps or {})[1]
        found.append(added.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf))
    return torch.stack(found, dim=1) if found else torch.zeros(len(x), 0, dtype=torch.float64)


def made_usual(
    score: Callable[[Tensor], Tensor],
    x: Float[Tensor, "rows numbers"],
    usual: Float[Tensor, "k numbers"],
    groups: Groups,
    steps: Steps | None = None,
) -> Float[Tensor, "rows numbers"]:
    """Return the rows with one column of each replaced by the usual value that gives the row the lowest score.

    score, usual, steps   as for `contributions`
    groups                (first, last + 1) of the numbers of the column to replace, for each row
    """
    found = x.clone()
    for group in set(groups):
        rows = torch.tensor([k for k, own in enumerate(groups) if own == group])
        found[rows, slice(*group)] = _best_usual(score, x[rows], usual, group, steps or {})[0]
    return found


def _best_usual(
    score: Callable[[Tensor], Tensor],
    x: Float[Tensor, "rows numbers"],
    usual: Float[Tensor, "k numbers"],
    group: Group,
    steps: Steps,
) -> tuple[Float[Tensor, "rows _"], Float[Tensor, " rows"]]:
    """Return the value of one column that gives each row the lowest score, and this score."""
    values = usual[:, slice(*group)].to(x.dtype)
    least, places = _with_values(score, x, values.expand(len(x), -1, -1), group).min(dim=1)
    best = values[places].clone()
    if group not in steps:
        return best, least
    known = values[:, 0].unique()
    place = torch.searchsorted(known, best[:, 0].contiguous())
    low, high = known[(place - 1).clamp(min=0)], known[(place + 1).clamp(max=len(known) - 1)]
    for _ in range(ROUNDS):
        tried = best[:, None, :].repeat(1, POINTS, 1)
        tried[:, :, 0] = low[:, None] + (high - low)[:, None] * torch.linspace(0, 1, POINTS, dtype=x.dtype)
        if step := steps[group]:
            tried[:, :, 0] = (tried[:, :, 0] / step).round() * step
        scores, places = _with_values(score, x, tried, group).min(dim=1)
        is_less = scores < least
        best[is_less] = tried[is_less, places[is_less]]
        least, reach = torch.minimum(scores, least), (high - low) / (POINTS - 1)
        low, high = torch.maximum(low, best[:, 0] - reach), torch.minimum(high, best[:, 0] + reach)
    return best, least


def _with_values(
    score: Callable[[Tensor], Tensor],
    x: Float[Tensor, "rows numbers"],
    values: Float[Tensor, "rows k _"],
    group: Group,
) -> Float[Tensor, "rows k"]:
    """Return the scores of each row with one column replaced by each of its values; inf where a score is nan."""
    count = values.shape[1]
    replaced = x.repeat_interleave(count, dim=0)
    replaced[:, slice(*group)] = values.reshape(len(x) * count, -1)
    return score(replaced).double().view(len(x), count).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
