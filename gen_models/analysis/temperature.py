"""Draws at a temperature T: sharper and less varied below 1, more varied above, `sample` itself at 1.

The latents of a draw are T times as far from the middle of their distribution, at the same noise (Kingma and Dhariwal,
2018, section 6.3, after Parmar et al., 2018). Likelihoods know no temperature: they are those of the model at 1.
"""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gen_models.contracts import Sampler, TemperedSampler
from gen_models.errors import DataError
from gen_models.noise import Noise


@dataclass(frozen=True)
class Tempered:
    """The Sampler that a model is at one temperature."""

    model: TemperedSampler
    temperature: float

    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        return self.model.sample_at(n, noise, self.temperature)


def at_temperature(model: Sampler, temperature: float) -> Sampler:
    """The model itself at 1, which every sampler has, else as `Tempered`.

    Raises DataError for a temperature that is no finite number above 0, and for a model that draws at 1 only.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise DataError(f"temperature {temperature:g}: give a finite number above 0; 1 is the model itself")
    if temperature == 1:
        return model
    if not isinstance(model, TemperedSampler):
        raise DataError(f"temperature {temperature:g}: {type(model).__name__} draws at 1 only; leave it out")
    return Tempered(model, temperature)
