"""Images scaled to mean 0 and variance 1 over all their numbers, so that networks and loss weights need no unit.

u = (y - m)/s, where y is centred by DataScale, and m and s are one number each. One s for all pixels means that a pixel
that never changes is not blown up.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.layers.data_scale import DataScale
from gen_models.layers.levels import Levels


class UnitImages(nn.Module):
    """The map between x in the data's units and u; `mean` and `std` are those of y, computed once by `fit`."""

    mean: Tensor
    std: Tensor

    def __init__(self, event_shape: Sequence[int], levels: Levels):
        super().__init__()
        self.data_scale = DataScale(event_shape, levels)
        self.mean = nn.Buffer(torch.zeros(()))
        self.std = nn.Buffer(torch.ones(()))

    def fit(self, x: Float[Tensor, "batch *event"]) -> None:
        """Set the scales from the rows of x; if these have no spread, s stays 1."""
        self.data_scale.fit(x)
        y = self.data_scale.centre(x)
        self.mean.copy_(y.mean())
        std = y.std(correction=0)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def centre(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return u of a row, without noise."""
        return (self.data_scale.centre(x) - self.mean) / self.std

    def uncentre(self, u: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return u in the data's units, which may lie between the levels: the inverse of `centre`."""
        return self.data_scale.uncentre(u * self.std + self.mean)

    def quantise(self, u: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return the row that u stands for, on the grid of levels if the data are."""
        return self.data_scale.quantise(u * self.std + self.mean)
