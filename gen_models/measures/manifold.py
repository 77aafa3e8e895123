"""Precision, recall, density and coverage: how well samples and data cover each other, by nearest-neighbour balls.

Each real row and each sample is the centre of a ball, which reaches to its k-th nearest neighbour in its own set.

    precision  fraction of samples that lie in the ball of some real row    Kynkaanniemi et al. (2019), equation 2
    recall     fraction of real rows that lie in the ball of some sample    Kynkaanniemi et al. (2019), equation 2
    density    mean over samples of (number of real rows whose ball holds the sample) / k
                                                                            Naeem et al. (2020), equation 4
    coverage   fraction of real rows whose ball holds some sample           Naeem et al. (2020), equation 5

If the samples are the real rows themselves, all are 1 except density, which is near 1 then and may exceed 1. Precision
and recall count the large balls of outliers as part of the manifold; density and coverage were designed to be less
affected.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.errors import DataError
from gen_models.layers.arguments import require_whole


class Manifold(NamedTuple):
    """Fidelity (precision, density) and diversity (recall, coverage) of samples; all but density lie in [0, 1]."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(
    real: Float[Tensor, "rows_real *event"], fake: Float[Tensor, "rows_fake *event"], *, neighbours: int = 5
) -> Manifold:
    """Return the four measures of the samples `fake` against the rows `real`, by Euclidean distance.

    neighbours  k; Naeem et al. took 5, Kynkaanniemi et al. took 3

    Raises DataError unless each set has more than k rows. Memory holds a distance for each pair of rows.
    """
    require_whole("neighbours", neighbours)
    real, fake = real.flatten(1).double(), fake.flatten(1).double()
    for name, rows in (("real", real), ("fake", fake)):
        if len(rows) <= neighbours:
            raise DataError(f"{name}: {len(rows)} rows have no {neighbours} neighbours each; give more rows")
    distances = _distances(real, fake)
    in_real = distances <= _radii(real, neighbours)[:, None]
    in_fake = distances <= _radii(fake, neighbours)[None, :]
    return Manifold(
        precision=in_real.any(dim=0).double().mean().item(),
        recall=in_fake.any(dim=1).double().mean().item(),
        density=in_real.double().sum(dim=0).mean().item() / neighbours,
        coverage=in_real.any(dim=1).double().mean().item(),
    )


def _radii(rows: Tensor, neighbours: int) -> Tensor:
    """Return the distance of each row to its k-th nearest other row."""
    return _distances(rows, rows).kthvalue(neighbours + 1, dim=1).values  # the first is the row itself


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")  # exact where rows coincide
