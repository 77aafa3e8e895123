"""Two sets of rows compared: maximum mean discrepancy, and distances to the nearest neighbour.

MMD: Gretton, Borgwardt, Rasch, Schoelkopf and Smola (2012), "A kernel two-sample test", eq. 3.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # around the median: fine detail to overall shape
MEDIAN_ROWS = 1000  # half a million pairs fix a median well
BLOCK_NUMBERS = 2**24  # distances held at once


def mmd2(
    x: Float[Tensor, "rows_x *event"], y: Float[Tensor, "rows_y *event"], bandwidths: Sequence[float]
) -> Float[Tensor, ""]:
    """The unbiased estimate of MMD^2, of the mean of Gaussian kernels k(a, b) = exp(-|a - b|^2 / (2 h^2)).

    mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

    Its expectation is 0 where the distributions agree, so it may be negative; with kernels in (0, 1] it has no unit.
    In float64, as it is a small difference of numbers near 1. Needs two rows of each.
    """
    x, y = x.flatten(1).double(), y.flatten(1).double()
    within_x = _off_diagonal_mean(_kernel(x, x, bandwidths))
    within_y = _off_diagonal_mean(_kernel(y, y, bandwidths))
    return within_x + within_y - 2 * _kernel(x, y, bandwidths).mean()


def median_bandwidth(x: Float[Tensor, "rows *event"]) -> float:
    """The median distance between two rows: the usual bandwidth (Gretton et al., 2012, section 8).

    Taken from data, never from samples: a distance that depends on the model would reward the wrong model. Of many
    rows MEDIAN_ROWS evenly spaced ones are used. 1 where all rows are equal.
    """
    step = max(1, len(x) // MEDIAN_ROWS)
    distances = torch.pdist(x[::step][:MEDIAN_ROWS].flatten(1).double())
    median = distances.median().item() if len(distances) else 0.0
    return median if median > 0 else 1.0


def bandwidths_around(bandwidth: float) -> tuple[float, ...]:
    """Quarter to four times a bandwidth, by factors of two."""
    return tuple(factor * bandwidth for factor in BANDWIDTH_FACTORS)


def nearest_distances(a: Float[Tensor, "rows_a *event"], b: Float[Tensor, "rows_b *event"]) -> Float[Tensor, " rows_a"]:
    """min_j |a_i - b_j|_2 for each row of a; memory is bounded.

    The nearest row is found by |a|^2 - 2 a.b + |b|^2, which is fast and rounds badly near 0; the distance to it is
    then computed from the difference, so a copied row has distance 0.
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
