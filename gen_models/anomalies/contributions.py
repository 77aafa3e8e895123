"""How much each column of a table's row adds to its anomaly score.

    c_j(x) = s(x) - min_k s(x with column j replaced by its k-th usual value)

s is the score of the row x. c_j is how far the score would fall if only column j held another, usual value; to compute
it, only values of s are needed. If s is a sum of scores of single columns, c_j is the score of column j minus the
smallest score of its usual values. If two columns are usual each but unusual together, a change of either would make
the row usual, and both have a large contribution. If s is infinite, the columns whose usual values make it finite add
inf, and the others 0. c_j is a counterfactual in the sense of Wachter, Mittelstadt and Russell (2018), one column at a
time.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

QUANTILES = 16  # usual values of each column, by which it is replaced
TURN = 5  # by so many places each column's quantiles are rotated against those of the column before
Groups = Sequence[tuple[int, int]]  # (first, last + 1) of the numbers of each column


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
) -> Float[Tensor, "rows columns"]:
    """Return how much each column adds to each row's score, c_j(x), in the score's unit.

    score   a function from rows to a score for each row
    usual   the usual values that `marginals` returned
    groups  (first, last + 1) of the numbers of each column
    """
    whole, found = score(x).double(), []
    for group in groups:
        added = whole - _with_usual(score, x, usual, group).amin(dim=1)
        found.append(added.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf))
    return torch.stack(found, dim=1) if found else torch.zeros(len(x), 0, dtype=torch.float64)


def made_usual(
    score: Callable[[Tensor], Tensor],
    x: Float[Tensor, "rows numbers"],
    usual: Float[Tensor, "k numbers"],
    groups: Groups,
) -> Float[Tensor, "rows numbers"]:
    """Return the rows with one column of each replaced by the usual value that gives the row the lowest score.

    score, usual   as for `contributions`
    groups         (first, last + 1) of the numbers of the column to replace, for each row
    """
    found = x.clone()
    for group in set(groups):
        rows = torch.tensor([k for k, own in enumerate(groups) if own == group])
        best = _with_usual(score, x[rows], usual, group).nan_to_num(nan=torch.inf).argmin(dim=1)
        found[rows, slice(*group)] = usual[best, slice(*group)].to(x.dtype)
    return found


def _with_usual(
    score: Callable[[Tensor], Tensor],
    x: Float[Tensor, "rows numbers"],
    usual: Float[Tensor, "k numbers"],
    group: tuple[int, int],
) -> Float[Tensor, "rows k"]:
    """Return the scores of each row with one column replaced by each of its usual values."""
    replaced = x.repeat_interleave(len(usual), dim=0)
    replaced[:, slice(*group)] = usual[:, slice(*group)].repeat(len(x), 1).to(x.dtype)
    return score(replaced).double().view(len(x), len(usual))
