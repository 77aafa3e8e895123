"""Which modes of a known mixture a sampler reaches, and how many of its samples belong to one.

The protocol of Srivastava et al. (2017) and Lin et al. (2018, PacGAN): 2,500 samples; one is of high quality within
3 standard deviations of the nearest mode; a mode is reached, here, by at least 20 high-quality samples of its own,
so that stray ones do not count. A perfect sampler of 8 equal modes in the plane gives each 309 on average, of 25
modes 99: exp(-9/2) = 1.1% of its samples lie further out.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.layers.arguments import require_positive, require_whole

SAMPLES = 2500
LEAST = 20
RADIUS_STDS = 3.0


class Modes(NamedTuple):
    """reached: how many modes; high_quality: share of the samples; counts: high-quality samples of each mode."""

    reached: int
    high_quality: float
    counts: Tensor


def modes(
    samples: Float[Tensor, "rows *event"],
    centres: Float[Tensor, "modes *event"],
    std: float,
    *,
    least: int = LEAST,
    radius_stds: float = RADIUS_STDS,
) -> Modes:
    """The modes at `centres`, of one standard deviation in every direction, that `samples` reach."""
    require_positive("std", std)
    require_positive("radius_stds", radius_stds)
    require_whole("least", least)
    distances = torch.cdist(samples.flatten(1).double(), centres.flatten(1).double())
    nearest = distances.min(dim=1)
    good = nearest.values <= radius_stds * std
    counts = torch.bincount(nearest.indices[good], minlength=len(centres))
    return Modes(int((counts >= least).sum()), good.double().mean().item(), counts)
