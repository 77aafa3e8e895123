"""Draws at a temperature T: less varied and sharper below 1, more varied above 1, and equal to `sample` at 1.

The latents of a draw are T times as far from the middle of their distribution, with the same noise (Kingma and
Dhariwal, 2018, section 6.3, after Parmar et al., 2018). Likelihoods do not depend on T: they are those of the model
at 1.
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
    """A Sampler that draws from a model at one fixed temperature."""

    model: TemperedSampler
    temperature: float

    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw n rows, in the data's units, at this temperature."""
        return self.model.sample_at(n, noise, self.temperature)


def at_temperature(model: Sampler, temperature: float) -> Sampler:
    """Return the model itself at 1, which every sampler allows, else the model as `Tempered`.

    Raises DataError for a temperature that is not a finite number above 0, and for one other than 1 if the model can
    draw at 1 only.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise DataError(f"temperature {temperature:g}: give a finite number above 0; 1 is the model itself")
    if temperature == 1:
        return model
    if not isinstance(model, TemperedSampler):
        raise DataError(f"temperature {temperature:g}: {type(model).__name__} draws at 1 only; leave it out")
    return Tempered(model, temperature)
