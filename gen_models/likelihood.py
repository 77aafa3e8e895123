"""The base class of densities: log p(x) in the data's units, and maximum likelihood as the objective.

A subclass defines log p(y) for y in network units (see layers/data_scale.py), and how to draw y. This class adds the
change of units, the dequantisation (uniform noise u added to discrete data) and the objective.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Loss, Objective
from gen_models.evaluating import question
from gen_models.layers.data_scale import DataScale
from gen_models.noise import Noise
from gen_models.rebuildable import Rebuildable

SCORE_NOISE = Noise(seed=0).shared()  # the draws of u are the same for every score
SCORE_DRAWS = 8  # averaged over, which reduces the spread of E_u log p(x + u)


class LikelihoodModel(Rebuildable, nn.Module, ABC):
    """A Density and Sampler with one objective, mean -log p(x), built from `log_density` and `draw`."""

    data_scale: DataScale

    @abstractmethod
    def log_density(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """Return log p(y) in nats, for y in network units."""

    @abstractmethod
    def draw(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw n rows y, in network units."""

    def objectives(self) -> tuple[Objective, ...]:
        """Return the only objective, maximum likelihood."""
        return (Objective("likelihood", self, self.loss),)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return the mean of -log p(x_i + u_i) over the rows, in nats, also as the term "nats"."""
        nats = -self._log_prob(x, noise).mean()
        return Loss(nats, {"nats": nats})

    @question
    def log_prob(self, x: Float[Tensor, "batch *event"], noise: Noise | None = None) -> Float[Tensor, " batch"]:
        """Return log p(x); for discrete data, the mean of log p(x + u) over SCORE_DRAWS shared draws of u.

        noise  for discrete data: return log p(x + u) with one draw of u from this noise instead
        """
        if noise is not None:
            return self._log_prob(x, noise)
        if not self.data_scale.is_dequantised:
            return self._log_prob(x, SCORE_NOISE)
        draws = [self._log_prob(x, SCORE_NOISE.at(k)) for k in range(SCORE_DRAWS)]
        return torch.stack(draws).mean(dim=0)

    @question
    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw n rows, in the data's units."""
        return self.data_scale.drawn(self.draw(n, noise))

    def _log_prob(self, x: Tensor, noise: Noise) -> Tensor:
        return self.log_density(self.data_scale(x, noise)) + self.data_scale.log_det()
