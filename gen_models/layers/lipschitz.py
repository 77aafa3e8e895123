"""A network that is 1-Lipschitz because each of its layers is.

The layers are x -> activation(A_l x + b_l). |A_l|_op <= 1 and a 1-Lipschitz activation make the whole network
1-Lipschitz; this is sufficient, not necessary. Under this constraint a network with ReLU loses gradient norm at each
layer and cannot reach some 1-Lipschitz functions (for example the absolute value of a linear map). MaxMin sorts pairs,
which preserves the norm, and can reach them (Anil, Lucas and Grosse, 2019: GroupSort with groups of 2).

With kept_by = "nothing" the layers are unconstrained, for training that enforces the bound in another way: by a penalty
in the loss, or by clipping the weights.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.layers.arguments import require_choice
from gen_models.layers.operator_norm import UnitBall
from gen_models.layers.operators import Matrix
from gen_models.layers.spectral_norm import normalise


class MaxMin(nn.Module):
    """The activation (a, b) -> (max(a, b), min(a, b)) for each pair of neighbouring units or channels.

    All maxima come first in the output, then all minima. The output has the norm of the input.
    """

    def forward(self, x: Float[Tensor, "batch width *positions"]) -> Float[Tensor, "batch width *positions"]:
        pairs = x.unflatten(1, (-1, 2))
        return torch.cat([pairs.amax(dim=2), pairs.amin(dim=2)], dim=1)


KEPT_BY = ("projection", "normalisation", "nothing")


class LipschitzMLP(nn.Module):
    """A network (batch, inputs) -> (batch,). The last layer has no bias, as a critic is defined up to a constant.

    kept_by  what keeps |A_l|_op <= 1.
             projection: `project`, which the caller calls after each training step.
             normalisation: the forward pass uses W/sigma_max(W). The caller calls `spectral_norm.follow` after each
             step, which advances the power method that estimates sigma_max.
             nothing: no constraint
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        *,
        activation: Callable[[], nn.Module] = MaxMin,
        kept_by: str = "projection",
    ):
        super().__init__()
        require_choice("kept_by", kept_by, KEPT_BY)
        linears = [nn.Linear(n, m) for n, m in pairwise([inputs, *hidden])]
        linears.append(nn.Linear(hidden[-1] if hidden else inputs, 1, bias=False))
        self.linears = cast(Sequence[nn.Linear], nn.ModuleList(linears))
        self.activation = activation()
        balls = [UnitBall(linear.in_features) for linear in linears] if kept_by == "projection" else []
        self.balls = cast(Sequence[UnitBall], nn.ModuleList(balls))
        self.project()
        if kept_by == "normalisation":
            for linear in linears:
                normalise(linear, Matrix(linear.in_features))

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, " batch"]:
        *inner, last = self.linears
        for linear in inner:
            x = self.activation(linear(x))
        return last(x).squeeze(1)

    def project(self) -> None:
        """Restore sigma_max(A_l) <= 1 for every layer, in place; call it after each ascent step of the critic.

        Unless kept_by is "projection" it does nothing.
        """
        for linear, ball in zip(self.linears, self.balls, strict=False):  # there are no balls without projection
            ball.project(linear.weight)
