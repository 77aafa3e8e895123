"""Comparisons of two sets of rows: the maximum mean discrepancy, and distances to the nearest neighbour.

MMD: Gretton, Borgwardt, Rasch, Schoelkopf and Smola (2012), "A kernel two-sample test", eq. 3.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

BANDWIDTHS = 6  # from fine detail to overall shape
NEIGHBOUR = 5  # the distance to the 5-th nearest row is the finest detail that the rows show
BANDWIDTH_ROWS = 1000  # half a million pairs determine a median well
BLOCK_NUMBERS = 2**24  # distances held at once


def mmd2(
    x: Float[Tensor, "rows_x *event"], y: Float[Tensor, "rows_y *event"], bandwidths: Sequence[float]
) -> Float[Tensor, ""]:
    """Return the unbiased estimate of MMD^2, for the mean of Gaussian kernels k(a, b) = exp(-|a - b|^2 / (2 h^2)).

    mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

    The expectation of the estimate is 0 if the distributions agree, so it may be negative. Kernels lie in (0, 1], so it
    has no unit. It is computed in float64, because it is a small difference of numbers near 1. Each set needs two rows.

    bandwidths  h of each kernel, such as `bandwidths` returns
    """
    x, y = x.flatten(1).double(), y.flatten(1).double()
    within_x = _off_diagonal_mean(_kernel(x, x, bandwidths))
    within_y = _off_diagonal_mean(_kernel(y, y, bandwidths))
    return within_x + within_y - 2 * _kernel(x, y, bandwidths).mean()


def bandwidths(x: Float[Tensor, "rows *event"]) -> tuple[float, ...]:
    """Return six bandwidths for `mmd2`, in geometric progression between two median distances.

    The smallest is the median distance of a row to its fifth nearest neighbour, the largest the median distance between
    two rows. The largest is the usual bandwidth (Gretton et al., 2012, section 8), which cannot see what happens inside
    a mode that is much narrower than the distance between modes. Compute bandwidths from data, never from samples:
    bandwidths that depend on the model would reward the wrong model.

    If there are more than BANDWIDTH_ROWS rows, so many of them, evenly spaced, are used. If there are fewer than three
    rows, or all are equal, each bandwidth is 1.
    """
    step = max(1, len(x) // BANDWIDTH_ROWS)
    rows = x[::step][:BANDWIDTH_ROWS].flatten(1).double()
    widest = torch.pdist(rows).median().item() if len(rows) > 2 else 0.0
    if widest == 0:
        return (1.0,) * BANDWIDTHS
    distances = torch.cdist(rows, rows)
    near = distances.kthvalue(min(NEIGHBOUR + 1, len(rows)), dim=1).values.median().item()  # the first is itself
    finest = min(near, widest) if near > 0 else widest / 2 ** (BANDWIDTHS - 1)
    return tuple(finest ** (1 - i / (BANDWIDTHS - 1)) * widest ** (i / (BANDWIDTHS - 1)) for i in range(BANDWIDTHS))


def nearest_distances(a: Float[Tensor, "rows_a *event"], b: Float[Tensor, "rows_b *event"]) -> Float[Tensor, " rows_a"]:
    """Return min_j |a_i - b_j|_2 for each row of a, with bounded memory.

    The nearest row is found by |a|^2 - 2 a.b + |b|^2, which is fast but rounds badly near 0. The distance to it is then
    computed from the difference, so a copied row has distance 0.
    """
    a, b = a.flatten(1), b.flatten(1)
    rows = max(1, BLOCK_NUMBERS // max(1, len(b)))
    nearest = [torch.cdist(block, b, compute_mode="use_mm_for_euclid_dist").argmin(dim=1) for block in a.split(rows)]
    return torch.linalg.vector_norm(a - b[torch.cat(nearest)], dim=1)


def _kernel(a: Tensor, b: Tensor, bandwidths: Sequence[float]) -> Tensor:
    squared = torch.cdist(a, b).square()
    return torch.stack([torch.exp(-squared / (2 * h**2)) for h in bandwidths]).mean(dim=0)


def _off_diagonal_mean(gram: Tensor) -> Tensor:
    n = len(gram)
    return (gram.sum() - gram.diagonal().sum()) / (n * (n - 1))
