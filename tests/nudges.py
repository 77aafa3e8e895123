"""Modules away from where they start, so that no law holds by symmetry; draws to try them on; a mass in the plane."""

import torch
from torch import nn

from gen_models.bijections.batch_norm import FlowBatchNorm
from gen_models.layers.batch_norm import BatchNorm


def normal(*shape: int, seed: int = 5) -> torch.Tensor:
    """Draws from N(0, 1), the same each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nudged(module, scale: float = 0.3, dtype: torch.dtype = torch.float64):
    """In evaluation mode, every parameter and every running statistic away from where it starts."""
    generator = torch.Generator().manual_seed(4)

    def randn(like: torch.Tensor) -> torch.Tensor:
        return scale * torch.randn(like.shape, generator=generator, dtype=dtype)

    module.to(dtype).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += randn(parameter)
        for part in module.modules():
            if isinstance(part, FlowBatchNorm | BatchNorm):
                part.mean += randn(part.mean)
                part.variance *= randn(part.variance).exp()
    return module


def mass_in_the_plane(model: nn.Module, *, reach: float, points: int) -> float:
    """The integral of exp log_prob over +-reach in units of each column, by a grid of so many points a side."""
    with torch.no_grad():
        model.data_scale.shift.copy_(torch.tensor([1.0, -2.0]))
        model.data_scale.scale.copy_(torch.tensor([0.5, 3.0]))
        y = torch.linspace(-reach, reach, points, dtype=torch.float64)
        first, second = 1 + 0.5 * y, -2 + 3 * y
        cell = (first[1] - first[0]) * (second[1] - second[0])
        return (model.log_prob(torch.cartesian_prod(first, second)).exp().sum() * cell).item()
