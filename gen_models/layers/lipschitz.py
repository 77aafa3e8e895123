"""A network that is 1-Lipschitz because each of its layers is.

|A_l|_op <= 1 and a 1-Lipschitz activation make the whole map 1-Lipschitz: sufficient, not necessary. ReLU
loses gradient norm at each layer and cannot reach some 1-Lipschitz functions (the absolute value of a linear
map, say) under this constraint; MaxMin, which sorts pairs, keeps the norm and can
(Anil, Lucas and Grosse, 2019: GroupSort with groups of 2).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.layers.operator_norm import UnitBall


class MaxMin(nn.Module):
    """(a, b) -> (max(a, b), min(a, b)) for each pair of neighbours; a permutation, so |Jacobian|_op = 1."""

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        pairs = x.unflatten(1, (-1, 2))
        return torch.cat([pairs.amax(dim=2), pairs.amin(dim=2)], dim=1)


class LipschitzMLP(nn.Module):
    """(batch, inputs) -> (batch,), 1-Lipschitz after each `project`.

    The last layer has no bias: a critic is defined up to a constant.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], *, activation: Callable[[], nn.Module] = MaxMin):
        super().__init__()
        linears = [nn.Linear(n, m) for n, m in pairwise([inputs, *hidden])]
        linears.append(nn.Linear(hidden[-1] if hidden else inputs, 1, bias=False))
        self.linears = cast(Sequence[nn.Linear], nn.ModuleList(linears))
        self.activation = activation()
        self.balls = cast(Sequence[UnitBall], nn.ModuleList(UnitBall(linear.in_features) for linear in linears))
        self.project()

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, " batch"]:
        *inner, last = self.linears
        for linear in inner:
            x = self.activation(linear(x))
        return last(x).squeeze(1)

    def project(self) -> None:
        """sigma_max(A_l) <= 1 again for every layer: the step that follows each ascent."""
        for linear, ball in zip(self.linears, self.balls, strict=True):
            ball.project(linear.weight)
