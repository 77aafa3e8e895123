"""Scaling of columns with heavy tails: u = asinh((x - median) / interquartile range) / std.

Near the median u is linear in x, and far from it logarithmic, so that a few huge values no longer dominate the
distances between rows.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAST_RANGE = 1e-9  # a column with a smaller interquartile range is divided by 1


class AsinhScale(nn.Module):
    """The map x -> u of rows of `dim` columns; `fit` computes its constants from training rows."""

    centre: Tensor
    width: Tensor
    std: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.centre = nn.Buffer(torch.zeros(dim))
        self.width = nn.Buffer(torch.ones(dim))
        self.std = nn.Buffer(torch.ones(dim))

    def fit(self, x: Float[Tensor, "batch dim"]) -> None:
        """Set each column's median and interquartile range from x, and std as the standard deviation of the asinh.

        An interquartile range or std of at most LEAST_RANGE is replaced by 1.
        """
        levels = torch.tensor([0.25, 0.5, 0.75], dtype=x.dtype, device=x.device)
        low, middle, high = torch.quantile(x, levels, dim=0)
        self.centre = middle
        self.width = torch.where(high - low > LEAST_RANGE, high - low, 1.0)
        std = torch.asinh((x - self.centre) / self.width).std(dim=0, correction=0)
        self.std = torch.where(std > LEAST_RANGE, std, 1.0)

    def forward(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return u for the rows of x."""
        return torch.asinh((x - self.centre) / self.width) / self.std
