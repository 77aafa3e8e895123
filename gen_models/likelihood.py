"""What all densities share: log p(x) of the data as stored, and maximum likelihood as their objective.

A density says what log p(y) is in the network's units y and how to draw y; the change of units, the
dequantisation and the objective follow from that.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Loss, Objective
from gen_models.layers.data_scale import DataScale
from gen_models.noise import Noise

SCORE_NOISE = Noise(seed=0).shared()  # the draws of u that every score shares
SCORE_DRAWS = 8  # averaged: E_u log p(x + u) with a smaller spread


class LikelihoodModel(nn.Module, ABC):
    """Density, Sampler and one objective, mean -log p(x), from `log_density` and `draw`."""

    data_scale: DataScale

    @abstractmethod
    def log_density(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """log p(y) in nats, y in the network's units."""

    @abstractmethod
    def draw(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """n draws of y."""

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("likelihood", self, self.loss),)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """-1/B sum_i log p(x_i + u_i), maximum likelihood."""
        nats = -self._log_prob(x, noise).mean()
        return Loss(nats, {"nats": nats})

    def log_prob(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """log p(x); on levels the mean over SCORE_DRAWS shared draws of log p(x + u)."""
        if self.data_scale.levels is None:
            return self._log_prob(x, SCORE_NOISE)
        draws = [self._log_prob(x, SCORE_NOISE.at(k)) for k in range(SCORE_DRAWS)]
        return torch.stack(draws).mean(dim=0)

    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        return self.data_scale.quantise(self.draw(n, noise))

    def _log_prob(self, x: Tensor, noise: Noise) -> Tensor:
        return self.log_density(self.data_scale(x, noise)) + self.data_scale.log_det()
