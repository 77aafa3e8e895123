"""Comparisons of two sets of rows: the maximum mean discrepancy, and distances to the nearest neighbour.

MMD: Gretton, Borgwardt, Rasch, Schoelkopf and Smola (2012), "A kernel two-sample test", eq. 3.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # multiples of the median: from fine detail to overall shape
MEDIAN_ROWS = 1000  # half a million pairs determine a median well
BLOCK_NUMBERS = 2**24  # distances held at once


def mmd2(
    x: Float[Tensor, "rows_x *event"], y: Float[Tensor, "rows_y *event"], bandwidths: Sequence[float]
) -> Float[Tensor, ""]:
    """Return the unbiased estimate of MMD^2, for the mean of Gaussian kernels k(a, b) = exp(-|a - b|^2 / (2 h^2)).

    mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

    Its expectation is 0 if the distributions agree, so it may be negative. Kernels lie in (0, 1], so it has no unit. It
    is computed in float64, because it is a small difference of numbers near 1. Each set needs two rows.
    """
    x, y = x.flatten(1).double(), y.flatten(1).double()
    within_x = _off_diagonal_mean(_kernel(x, x, bandwidths))
    within_y = _off_diagonal_mean(_kernel(y, y, bandwidths))
    return within_x + within_y - 2 * _kernel(x, y, bandwidths).mean()


def median_bandwidth(x: Float[Tensor, "rows *event"]) -> float:
    """Return the median distance between two rows, the usual bandwidth (Gretton et al., 2012, section 8).

    Compute it from data, never from samples: a bandwidth that depends on the model would reward the wrong model. Of
    many rows MEDIAN_ROWS evenly spaced ones are used. If the median is 0, or there is only one row, return 1.
    """
    step = max(1, len(x) // MEDIAN_ROWS)
    distances = torch.pdist(x[::step][:MEDIAN_ROWS].flatten(1).double())
    median = distances.median().item() if len(distances) else 0.0
    return median if median > 0 else 1.0


def bandwidths_around(bandwidth: float) -> tuple[float, ...]:
    """Return a quarter to four times a bandwidth, by factors of two."""
    return tuple(factor * bandwidth for factor in BANDWIDTH_FACTORS)


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
