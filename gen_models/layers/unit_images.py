"""Images scaled to mean 0 and variance 1, so that networks and loss weights do not depend on the data's units.

u = (y - m)/s, where y is the result of `DataScale.centre`, and m and s are the mean and standard deviation of y over
all rows and pixels, one number each. Because all pixels share one s, a pixel that never changes is not amplified.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.layers.data_scale import DataScale
from gen_models.layers.levels import Levels


class UnitImages(nn.Module):
    """The map between x in the data's units and u; `fit` computes `mean` (m) and `std` (s) once."""

    mean: Tensor
    std: Tensor

    def __init__(self, event_shape: Sequence[int], levels: Levels):
        super().__init__()
        self.data_scale = DataScale(event_shape, levels)
        self.mean = nn.Buffer(torch.zeros(()))
        self.std = nn.Buffer(torch.ones(()))

    def fit(self, x: Float[Tensor, "batch *event"]) -> None:
        """Set m and s from the rows of x; if all numbers in y are equal, s is 1."""
        self.data_scale.fit(x)
        y = self.data_scale.centre(x)
        self.mean.copy_(y.mean())
        std = y.std(correction=0)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def centre(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return u of each row, without noise."""
        return (self.data_scale.centre(x) - self.mean) / self.std

    def uncentre(self, u: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return u in the data's units: the inverse of `centre`. For data on grey levels it may lie between them."""
        return self.data_scale.uncentre(u * self.std + self.mean)

    def quantise(self, u: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return u in the data's units; for data on grey levels, the level in whose cell each pixel falls."""
        return self.data_scale.quantise(u * self.std + self.mean)
