"""Columns drawn in from heavy tails: u = asinh((x - median) / interquartile range) / std.

Near the median u is linear in x, far from it logarithmic, so a few huge values no longer decide which rows are near.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAST_RANGE = 1e-9  # a column with a smaller interquartile range is divided by 1


class AsinhScale(nn.Module):
    """The map of rows of `dim` columns; `fit` sets it from training rows."""

    centre: Tensor
    width: Tensor
    std: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.centre = nn.Buffer(torch.zeros(dim))
        self.width = nn.Buffer(torch.ones(dim))
        self.std = nn.Buffer(torch.ones(dim))

    def fit(self, x: Float[Tensor, "batch dim"]) -> None:
        """Take median and quartiles, then the standard deviation of what they give, from x; 1 where these are 0."""
        levels = torch.tensor([0.25, 0.5, 0.75], dtype=x.dtype, device=x.device)
        low, middle, high = torch.quantile(x, levels, dim=0)
        self.centre = middle
        self.width = torch.where(high - low > LEAST_RANGE, high - low, 1.0)
        std = torch.asinh((x - self.centre) / self.width).std(dim=0, correction=0)
        self.std = torch.where(std > LEAST_RANGE, std, 1.0)

    def forward(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return u."""
        return torch.asinh((x - self.centre) / self.width) / self.std
