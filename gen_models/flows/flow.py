"""Normalizing flows: z = f(x) ~ a base distribution, where f is a bijection.

log p(x) = log p_Z(f(x)) + log |det df/dx| (Rezende and Mohamed, 2015; Dinh, Krueger and Bengio, 2015). A named flow is
a constructor that passes a bijection to `Flow`; named flows differ in nothing else. Here x is in network units, which
layers/data_scale.py computes from the data's units.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.bijections.bijection import Bijection
from gen_models.bijections.histogram import Histogram
from gen_models.evaluating import evaluating, question
from gen_models.flows.base import Base, Normal
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels
from gen_models.layers.table_scale import scale_of
from gen_models.likelihood import LikelihoodModel
from gen_models.noise import Noise

START_ROWS = 1024  # rows used for a data-dependent start


class Flow(LikelihoodModel):
    """A bijection between rows in network units, (batch, *event), and z, (batch, D), drawn from a base distribution.

    `encode` returns z, so latents have D numbers, as many as a row. A flow is no Reconstructor: a bijection returns
    every x unchanged, which says nothing about x.
    """

    def __init__(self, event_shape: Sequence[int], levels: Levels, bijection: Bijection, *, base: Base | None = None):
        super().__init__()
        self.data_scale = scale_of(event_shape, levels)
        self.bijection = bijection
        self.base = base or Normal()

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Standardise continuous data, fit histograms on all rows, and start the other parts that depend on data.

        Those parts start from the first START_ROWS rows. A flow starts near the identity, which is near the optimum for
        standardised data.
        """
        self.data_scale.fit(x)
        for part in self.bijection.modules():
            if isinstance(part, Histogram):
                part.fit(x)
        with evaluating(self), torch.no_grad():
            self.bijection.start(self.data_scale(x[:START_ROWS], noise))

    def log_density(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """Return log p_Z(f(y)) + log |det df/dy| for rows y in network units."""
        z, log_det = self.bijection(y)
        return self.base.log_density(z) + log_det

    def draw(self, n: int, noise: Noise, *, temperature: float = 1.0) -> Float[Tensor, "batch *event"]:
        """Return n rows f^-1(z) in network units, with z drawn from the base at a temperature (see flows/base.py).

        Temperatures below 1 draw nearer the mode (Kingma and Dhariwal, 2018).
        """
        return self.bijection.inverse(self.base.from_normal(self.normal_draw(n, noise, temperature)))[0]

    @question
    def sample_at(self, n: int, noise: Noise, temperature: float) -> Float[Tensor, "batch *event"]:
        """Draw n rows, in the data's units, at a temperature; temperature 1 gives the same rows as `sample`."""
        return self.data_scale.drawn(self.draw(n, noise, temperature=temperature))

    def normal_draw(self, n: int, noise: Noise, temperature: float) -> Float[Tensor, "batch latent"]:
        """Return `temperature` times n draws from N(0, I) in D dimensions; samples of a flow are made from these."""
        D = dimensions(self.data_scale.event_shape)
        return temperature * noise.normal("flow.z", (n, D), like=self.data_scale.scale)

    @question
    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """Return z = f(x); a discrete number is represented by the middle of its cell."""
        return self.bijection(self.data_scale.centre(x))[0]

    @question
    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        """Return the row in whose cell f^-1(z) falls, so that decode(encode(x)) = x.

        `sample` returns decode(z) for z drawn from the base; in tables it reflects what lies beyond their ranges.
        """
        return self.data_scale.quantise(self.bijection.inverse(z)[0])
