"""Grey levels as cells of [0, 1), for likelihoods that give each grey level the probability of its cell.

A grey level x is a whole number 0 .. levels - 1. Its cell is [x/levels, (x + 1)/levels), and y = (x + 1/2)/levels is
the middle of this cell. Nothing is dequantised: the likelihood is the probability of x itself, so the change from x to
y adds no log-determinant.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.errors import ConfigError
from gen_models.layers.data_scale import DataScale
from gen_models.layers.levels import Levels, is_table
from gen_models.noise import Noise


class Cells(DataScale):
    """The map between grey levels x and the middles y of their cells; it has the interface of `DataScale`.

    Raises ConfigError for tables and for continuous data, which have no grey levels.
    """

    def __init__(self, event_shape: Sequence[int], levels: Levels):
        if is_table(levels):
            raise ConfigError("likelihood = 'discretised' needs data on grey levels: for a table's columns, use mixed")
        if levels is None:
            raise ConfigError("levels = null has no cells: a discretised likelihood needs data on grey levels")
        super().__init__(event_shape, levels)

    def log_det(self) -> Float[Tensor, ""]:
        """Return 0: the likelihood is a probability, which does not depend on the unit of x."""
        return torch.zeros_like(self.scale.sum())

    def forward(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """Return the middles of the cells of x. Nothing is drawn from `noise`."""
        return self.centre(x)
