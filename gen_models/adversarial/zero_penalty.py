"""Gradients of a classifier held near 0 on the rows that it tells apart.

    weight/2 (E |dr/dy (Y)|^2 + E |dr/dy (G(Z))|^2),   r the logit

The two terms are R1 and R2 of Mescheder, Geiger and Nowozin (2018, equations 9 and 10), under which alternating descent
converges near equilibria that the game without them circles. A classifier that is flat where rows are steep elsewhere
cannot be sure of a lone mode: its gradient reaches fakes that are far from all rows.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Loss
from gen_models.layers.arguments import require_positive
from gen_models.noise import Noise


@dataclass(frozen=True)
class ZeroPenalty:
    """Its gradient takes a second derivative of the critic; the term "squared_slope" is the mean of all squares."""

    weight: float

    def __post_init__(self) -> None:
        require_positive("penalty", self.weight)

    def __call__(
        self, critic: nn.Module, y: Float[Tensor, "rows *y"], fakes: Float[Tensor, "rows *y"], noise: Noise
    ) -> Loss:
        both = torch.cat([y, fakes]).detach().requires_grad_()
        with torch.enable_grad():  # a penalty is watched in evaluation too
            (gradients,) = torch.autograd.grad(critic(both).sum(), both, create_graph=True)
        squares = gradients.flatten(1).square().sum(dim=1).mean()
        penalty = self.weight * squares  # the mean over both halves is half of the sum of their means
        return Loss(penalty, {"penalty": penalty, "squared_slope": squares})
