"""The modes of a known mixture that a sampler reaches, and how many of its samples belong to a mode.

The protocol is that of Srivastava et al. (2017) and Lin et al. (2018, PacGAN): 2,500 samples are drawn, and a sample is
of high quality if it lies within 3 standard deviations of the nearest mode. Here a mode counts as reached if at least
20 high-quality samples belong to it, so that stray samples do not count. On average a perfect sampler of 8 equal modes
in the plane gives each mode 309 high-quality samples, and a perfect sampler of 25 modes gives each 99; the remaining
exp(-9/2) = 1.1% of the samples lie further out.
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
    """The result of `modes`.

    reached       how many modes were reached
    high_quality  the fraction of samples that are of high quality
    counts        how many high-quality samples belong to each mode
    """

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
    """Count the modes that samples reach, and the samples of high quality.

    The modes are isotropic Gaussians at `centres` with the standard deviation `std`. A sample is of high quality if it
    lies within radius_stds * std of its nearest centre; a mode is reached if it has at least `least` such samples.
    """
    require_positive("std", std)
    require_positive("radius_stds", radius_stds)
    require_whole("least", least)
    distances = torch.cdist(samples.flatten(1).double(), centres.flatten(1).double())
    nearest = distances.min(dim=1)
    good = nearest.values <= radius_stds * std
    counts = torch.bincount(nearest.indices[good], minlength=len(centres))
    return Modes(int((counts >= least).sum()), good.double().mean().item(), counts)
