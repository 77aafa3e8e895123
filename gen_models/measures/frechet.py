"""The Frechet distance between Gaussians, and between two sets of rows through their moments.

    d^2 = |m - n|^2 + tr(S + T - 2 (S^(1/2) T S^(1/2))^(1/2))           (Dowson and Landau, 1982)

This is the squared 2-Wasserstein distance between N(m, S) and N(n, T). Between a classifier's features it is the FID
(Heusel et al., 2017). Features of another network give another scale, and with n rows the estimate has a bias of order
1/n. To judge a distance, compare it with the distance between training and test rows, of the same numbers of rows.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.errors import DataError


def frechet_distance(a: Float[Tensor, "rows_a *event"], b: Float[Tensor, "rows_b *event"]) -> Float[Tensor, ""]:
    """Return d^2 between two Gaussians with the means and covariances of the rows of a and of b, in float64.

    Raises DataError for fewer than two rows in a set.
    """
    for rows in (a, b):
        if len(rows) < 2:
            raise DataError(f"the Frechet distance needs two rows of each set: found {len(rows)}, give more")
    return gaussian_frechet(*_moments(a), *_moments(b))


def gaussian_frechet(
    mean: Float[Tensor, " dim"],
    covariance: Float[Tensor, "dim dim"],
    other_mean: Float[Tensor, " dim"],
    other_covariance: Float[Tensor, "dim dim"],
) -> Float[Tensor, ""]:
    """Return d^2 between two Gaussians; covariances may be singular."""
    root = _root(covariance)
    cross = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp_min(0).sqrt().sum()
    return (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * cross


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    rows = rows.flatten(1).double()
    mean = rows.mean(dim=0)
    centred = rows - mean
    return mean, centred.mT @ centred / (len(rows) - 1)


def _root(covariance: Tensor) -> Tensor:
    """Return the symmetric square root of a covariance; eigenvalues that rounding put below 0 count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.mT
