"""Samples at a temperature T: less varied and sharper for T below 1, more varied above 1, equal to `sample` at 1.

With the same noise, the latents of a sample lie T times as far from the middle of their distribution as at T = 1
(Kingma and Dhariwal, 2018, section 6.3, after Parmar et al., 2018). T changes samples only; likelihoods are always
those of the model at T = 1.
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
    """Return a sampler that draws from the model at this temperature; at 1 it is the model itself.

    Raises DataError if the temperature is not a finite number above 0. Also raises it if the temperature is not 1 and
    the model is no TemperedSampler, because other models draw at 1 only.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise DataError(f"temperature {temperature:g}: give a finite number above 0; 1 is the model itself")
    if temperature == 1:
        return model
    if not isinstance(model, TemperedSampler):
        raise DataError(f"temperature {temperature:g}: {type(model).__name__} draws at 1 only; leave it out")
    return Tempered(model, temperature)
