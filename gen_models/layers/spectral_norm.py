"""Spectral normalisation as a parametrisation (Miyato, Kataoka, Koyama and Yoshida, 2018): W -> W / sigma_max(W).

sigma_max is estimated as sigma = u^T W v, where the power method moves u and v towards the leading singular vectors.
Each forward pass in training mode takes one step of it (the paper's algorithm 1), in evaluation mode none. u and v are
buffers, saved with the weights. The gradient of sigma treats u and v as constants, which is exact where they are the
singular vectors. sigma is a lower bound on sigma_max, close to it as long as weights move slowly, so the norm of
W / sigma may exceed 1 a little; the projection of operator_norm.py gives a stronger guarantee. The kernel of a
convolution is divided by the norm of the convolution as a linear map, not by that of the reshaped kernel (see
operators.py).
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from gen_models.layers.operators import Operator

STEPS_AT_THE_START = 20


class SpectralNorm(nn.Module):
    """The map W -> W / (u^T A v), where A is the linear map that `operator` makes of the weight W.

    Each forward pass in training mode first takes `steps` steps of the power method; `steps` is 1 unless changed.
    """

    u: Tensor
    v: Tensor

    def __init__(self, operator: Operator, weight: Tensor):
        super().__init__()
        self.operator = operator
        self.steps = 1
        generator = torch.Generator().manual_seed(0)  # the direction where the power method starts does not matter
        v = torch.randn(1, *operator.in_shape, generator=generator).to(weight)
        self.v = nn.Buffer(v / v.norm())
        self.u = nn.Buffer(torch.zeros_like(operator(weight.detach(), v)))
        self.iterate(weight, STEPS_AT_THE_START)

    def forward(self, weight: Tensor) -> Tensor:
        if self.training:
            self.iterate(weight, self.steps)
        u, v = self.u.clone(), self.v.clone()  # copies: the next forward changes both before this one's backward
        return weight / (u * self.operator(weight, v)).sum()

    @torch.no_grad()
    def iterate(self, weight: Tensor, steps: int) -> None:
        """Take `steps` steps of the power method: v <- A^T u / |A^T u| with u = A v, then u <- A v / |A v|."""
        for _ in range(steps):
            v = self.operator.adjoint(weight, self.operator(weight, self.v))
            self.v.copy_(v / v.norm())
            u = self.operator(weight, self.v)
            self.u.copy_(u / u.norm())


def normalise(layer: nn.Module, operator: Operator) -> None:
    """Change the layer so that its weight is W / sigma_max(W), where W is the parameter that training moves."""
    register_parametrization(layer, "weight", SpectralNorm(operator, cast(Tensor, layer.weight)))


def follow(network: nn.Module) -> None:
    """Take one step of each power method in the network.

    Call it after the weights moved, so that evaluation mode divides by the sigma of the new weights.
    """
    for module in network.modules():
        for parametrised in getattr(module, "parametrizations", {}).values():
            for spectral in parametrised:
                if isinstance(spectral, SpectralNorm):
                    spectral.iterate(parametrised.original, 1)
