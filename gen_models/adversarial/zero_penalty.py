"""A penalty that holds the gradients of a classifier near 0 on real rows and fakes.

    weight/2 (E |dr/dy (Y)|^2 + E |dr/dy (G(Z))|^2)

r is the classifier's logit, Y a real row and G(Z) a fake. The two terms are R1 and R2 of Mescheder, Geiger and Nowozin
(2018, equations 9 and 10). Without the penalty, alternating gradient steps may circle around an equilibrium; with it,
they converge if they start near enough. The penalty also helps where a mode of the data stands alone: a classifier that
is held flat on all rows, and is steep elsewhere, cannot become sure at this mode, so its gradient reaches fakes that
are far from all rows.
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
    """The penalty as a function of (critic, y, fakes, noise), where y are real rows.

    Its gradient needs a second derivative of the critic. The term "squared_slope" is the mean of |dr/dy|^2 over all
    rows, real and fake.
    """

    weight: float

    def __post_init__(self) -> None:
        require_positive("penalty", self.weight)

    def __call__(
        self, critic: nn.Module, y: Float[Tensor, "rows *y"], fakes: Float[Tensor, "rows *y"], noise: Noise
    ) -> Loss:
        both = torch.cat([y, fakes]).detach().requires_grad_()
        with torch.enable_grad():  # the penalty is also reported during evaluation, where gradients are off
            (gradients,) = torch.autograd.grad(critic(both).sum(), both, create_graph=True)
        squares = gradients.flatten(1).square().sum(dim=1).mean()
        penalty = self.weight * squares  # the mean over both halves is half the sum of the two means
        return Loss(penalty, {"penalty": penalty, "squared_slope": squares})
