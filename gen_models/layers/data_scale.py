"""The map between x in the data's units and y in network units, with the log-determinant of the change of units.

Data on q grey levels (whole numbers 0 .. q - 1) are dequantised: y = (x + u)/q in [0, 1), u uniform on [0, 1), so that
E_u log p(x + u) <= log P(x) (Theis, van den Oord and Bethge, 2016). Continuous data are standardised by their training
mean and standard deviation, which `fit` computes once.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_shape, require_whole
from gen_models.layers.levels import Levels, grey_levels, is_table
from gen_models.noise import Noise

MIN_STD = 1e-6  # floor for a constant column, whose y is then 0


class DataScale(nn.Module):
    """The map y = (x + u)/levels for data on grey levels, or y = (x - shift)/scale for continuous data.

    Raises ConfigError if event_shape is no list of sizes, or if `levels` is neither None nor a whole number of at
    least 2.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, event_shape: Sequence[int], levels: Levels):
        super().__init__()
        require_shape(event_shape)
        if is_table(levels):
            raise ConfigError("levels lists the columns of a table, and this model takes images: give a number or null")
        if levels is not None:
            require_whole("levels", levels, least=2)
        self.event_shape = tuple(event_shape)
        self.levels = grey_levels(levels)
        self.shift = nn.Buffer(torch.zeros(self.event_shape))
        self.scale = nn.Buffer(torch.full(self.event_shape, float(self.levels or 1)))

    @property
    def is_dequantised(self) -> bool:
        """Whether `forward` adds random u, so that log p is a lower bound in expectation only."""
        return self.levels is not None

    def fit(self, x: Float[Tensor, "batch *event"]) -> None:
        """Set shift and scale of continuous data from the rows of x; do nothing for data on grey levels."""
        if self.levels is None:
            low, high = x.amin(dim=0), x.amax(dim=0)
            self.shift.copy_(torch.where(low == high, low, x.mean(dim=0)))  # the mean of equal numbers is rounded
            self.scale.copy_(x.std(dim=0, correction=0).clamp_min(MIN_STD))

    def log_det(self) -> Float[Tensor, ""]:
        """Return log |det dy/dx| = -sum log scale, the same for every row; for grey levels, scale is `levels`."""
        return -self.scale.log().sum()

    def forward(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """Return y for a likelihood; for grey levels, u is drawn from the stream "dequantise" of the noise."""
        if self.levels is not None:
            return (x + noise.uniform("dequantise", x.shape, like=x)) / self.scale
        return (x - self.shift) / self.scale

    def centre(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return y without noise, for encoders and reconstructions; grey levels use u = 1/2, the middle of a cell."""
        if self.levels is not None:
            return (x + 0.5) / self.scale
        return (x - self.shift) / self.scale

    def uncentre(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return y, such as a decoder's mean, in the data's units: the inverse of `centre`.

        For data on grey levels the result may lie between them.
        """
        x = y * self.scale + self.shift
        return x if self.levels is None else x - 0.5

    def blank(self) -> Float[Tensor, "*event"]:
        """Return the row whose values replace erased ones, in the data's units: 0 for grey levels, else the mean."""
        return self.shift

    def drawn(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return rows y that a model drew, in the data's units."""
        return self.quantise(y)

    def quantise(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return y in the data's units: floor(levels y) within 0 .. levels - 1, or scale y + shift."""
        x = y * self.scale + self.shift
        return x if self.levels is None else x.floor().clamp(0, self.levels - 1)


def dimensions(event_shape: Sequence[int]) -> int:
    """Return D, how many numbers a row of this shape has."""
    return math.prod(event_shape)
