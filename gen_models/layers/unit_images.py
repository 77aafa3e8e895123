"""Images at mean 0 and variance 1 over all their numbers, for networks and weights that know no unit.

u = (y - m)/s, y as DataScale centres it, m and s one number each: a pixel that never changes stays in proportion.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.layers.data_scale import DataScale


class UnitImages(nn.Module):
    """Between x as stored and u; `mean` and `std` are of y, found once by `fit`."""

    mean: Tensor
    std: Tensor

    def __init__(self, event_shape: Sequence[int], levels: int | None):
        super().__init__()
        self.data_scale = DataScale(event_shape, levels)
        self.mean = nn.Buffer(torch.zeros(()))
        self.std = nn.Buffer(torch.ones(()))

    def fit(self, x: Float[Tensor, "batch *event"]) -> None:
        """Take the scales from the rows of x; rows without any spread keep s = 1."""
        self.data_scale.fit(x)
        y = self.data_scale.centre(x)
        self.mean.copy_(y.mean())
        std = y.std(correction=0)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def centre(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """u of a datum, without noise."""
        return (self.data_scale.centre(x) - self.mean) / self.std

    def uncentre(self, u: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """The inverse of `centre`: as stored, between the levels."""
        return self.data_scale.uncentre(u * self.std + self.mean)

    def quantise(self, u: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """The datum that u stands for, on the grid of levels if the data are."""
        return self.data_scale.quantise(u * self.std + self.mean)
