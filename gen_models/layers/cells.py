"""Grey levels as cells: y = (x + 1/2)/levels, the middle of the cell [x/levels, (x + 1)/levels) of a level.

For likelihoods that give each level the probability of its cell. Nothing is dequantised, and no unit is changed: the
likelihood is that of the levels themselves.
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
    """The map between x in the data's units and the middles y of its cells; it has the interface of `DataScale`."""

    def __init__(self, event_shape: Sequence[int], levels: Levels):
        if is_table(levels):
            raise ConfigError("likelihood = 'discretised' needs data on grey levels: for a table's columns, use mixed")
        if levels is None:
            raise ConfigError("levels = null has no cells: a discretised likelihood needs data on grey levels")
        super().__init__(event_shape, levels)

    def log_det(self) -> Float[Tensor, ""]:
        """Return 0: a probability has no unit to change."""
        return torch.zeros_like(self.scale.sum())

    def forward(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """Return the middles of the cells; nothing is drawn."""
        return self.centre(x)
