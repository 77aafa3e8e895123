"""Normalizing flows: z = f(x) ~ N(0, I), f a bijection.

log p(x) = log p_Z(f(x)) + log |det df/dx| (Rezende and Mohamed, 2015; Dinh, Krueger and Bengio, 2015). A
named flow is a constructor that hands a bijection to `Flow`; nothing else differs between them.
"""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from gen_models.bijections.bijection import Bijection
from gen_models.layers.data_scale import DataScale, dimensions
from gen_models.likelihood import LikelihoodModel
from gen_models.noise import Noise


class Flow(LikelihoodModel):
    """A bijection between flattened rows in network units and z ~ N(0, I). latent = D.

    No Reconstructor: a bijection returns every x unchanged, which says nothing about x.
    """

    def __init__(self, event_shape: Sequence[int], levels: int | None, bijection: Bijection):
        super().__init__()
        self.data_scale = DataScale(event_shape, levels)
        self.bijection = bijection

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Standardise continuous data, so that the identity, where a flow starts, is near the answer."""
        self.data_scale.fit(x)

    def log_density(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """log N(f(y); 0, I) + log |det df/dy|."""
        z, log_det = self.bijection(y.flatten(1))
        return standard_normal_log_density(z) + log_det

    def draw(self, n: int, noise: Noise, *, temperature: float = 1.0) -> Float[Tensor, "batch *event"]:
        """f^-1(temperature z), z ~ N(0, I). A temperature below 1 draws nearer the mode (Kingma and Dhariwal, 2018)."""
        z = noise.normal("flow.z", (n, dimensions(self.data_scale.event_shape)), like=self.data_scale.scale)
        return self._invert(temperature * z)

    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """z = f(x), x on levels at the middle of its cell."""
        z, _ = self.bijection(self.data_scale.centre(x).flatten(1))
        return z

    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        """The datum in whose cell f^-1(z) falls, so that decode(encode(x)) = x and sample = decode of a draw."""
        return self.data_scale.quantise(self._invert(z))

    def _invert(self, z: Tensor) -> Tensor:
        y, _ = self.bijection.inverse(z)
        return y.unflatten(1, self.data_scale.event_shape)


def standard_normal_log_density(z: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
    """log N(z; 0, I) = -|z|^2/2 - D/2 log(2 pi), in nats."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)
