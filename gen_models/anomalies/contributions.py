"""How much each column of a table's row adds to its anomaly score.

    c_j(x) = s(x) - min_k s(x with column j replaced by its k-th usual value)

It is how far the score would fall if only column j held another, usual value, and asks nothing of the score but its
values. For a sum of scores of single columns, c_j is column j's own score less its smallest over usual values. Where
two columns are usual each and unusual together, either could be put right, and both have a large contribution. It is a
counterfactual in the sense of Wachter, Mittelstadt and Russell (2018), one column at a time.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

QUANTILES = 16  # usual values of each column, by which it is replaced
TURN = 5  # quantiles by which each column is turned against the one before
Groups = Sequence[tuple[int, int]]  # (first, last + 1) of the numbers of each column


def marginals(
    x: Float[Tensor, "rows numbers"], groups: Groups, quantiles: int = QUANTILES
) -> Float[Tensor, "k numbers"]:
    """Return evenly spaced quantiles of each column by itself, so that a row of the answer is no row of the data.

    A column of several numbers, such as a category, takes each of its values as often as it occurs.
    Each column begins at another of its quantiles, so that what stands in one row does not belong together.
    """
    places = ((torch.arange(quantiles) + 0.5) / quantiles * len(x)).long().clamp(max=len(x) - 1)
    found = torch.empty(quantiles, x.shape[1], dtype=x.dtype)
    for number, (first, end) in enumerate(groups):
        part = x[:, first:end]
        order = part[:, 0] if end - first <= 2 else part.argmax(dim=1)  # a number with its indicator; a category
        found[:, first:end] = part[order.sort(stable=True).indices[places]].roll(number * TURN, dims=0)
    return found


def contributions(
    score: Callable[[Tensor], Tensor],
    x: Float[Tensor, "rows numbers"],
    usual: Float[Tensor, "k numbers"],
    groups: Groups,
) -> Float[Tensor, "rows columns"]:
    """Return how much each column adds to each row's score, c_j(x), in the score's unit.

    score: function of rows; usual: what `marginals` returned; groups: the numbers of each column
    """
    whole, found = score(x).double(), []
    for first, end in groups:
        replaced = x.repeat_interleave(len(usual), dim=0)
        replaced[:, first:end] = usual[:, first:end].repeat(len(x), 1).to(x.dtype)
        found.append(whole - score(replaced).double().view(len(x), len(usual)).amin(dim=1))
    return torch.stack(found, dim=1) if found else torch.zeros(len(x), 0, dtype=torch.float64)
