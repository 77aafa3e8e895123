"""Binarisation: grey levels are probabilities of ink, y ~ Bernoulli(x/(levels - 1)), drawn anew at each step.

This is the protocol of Burda, Grosse and Salakhutdinov (2016, after Salakhutdinov and Murray, 2008) for binarised
MNIST. Protocols with a fixed file (Larochelle and Murray, 2011) or a threshold differ from it by about 2 nats. The
likelihood is that of the binary y: it can be compared with other likelihoods of y, not with densities of the levels.
Data on 2 levels are y itself.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.layers.data_scale import DataScale
from gen_models.layers.levels import Levels, is_table
from gen_models.noise import Noise


class Binarisation(nn.Module):
    """The map between x in the data's units and y in {0, 1}, for binary pixels; it has the interface of `DataScale`."""

    scale: Tensor

    def __init__(self, event_shape: Sequence[int], levels: Levels):
        super().__init__()
        if is_table(levels):
            raise ConfigError("likelihood = 'bernoulli' needs data on grey levels: for a table's columns, use mixed")
        if levels is None:
            raise ConfigError("levels = null cannot be binarised: a Bernoulli likelihood needs data on grey levels")
        checked = DataScale(event_shape, levels)
        self.event_shape = checked.event_shape
        self.levels = checked.levels
        self.scale = nn.Buffer(torch.tensor(float((checked.levels or 2) - 1)))

    def fit(self, x: Float[Tensor, "batch *event"]) -> None:
        """Do nothing: the number of levels determines the map."""

    def log_det(self) -> Float[Tensor, ""]:
        """Return 0: a probability has no unit to change."""
        return torch.zeros_like(self.scale)

    def forward(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw y ~ Bernoulli(x/(levels - 1)) from the stream "binarise"; shared noise is one threshold for all rows."""
        return (noise.uniform("binarise", x.shape, like=x) < self.centre(x)).to(x.dtype)

    def centre(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return E y = x/(levels - 1), for encoders and reconstructions."""
        return x / self.scale

    def uncentre(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return the grey value of a probability of ink, which may lie between the levels: the inverse of `centre`."""
        return y * self.scale

    def as_sampled(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw y for the rows x, and return it in the data's units: on the lowest and highest level, like samples."""
        return self.quantise(self(x, noise))

    def quantise(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return the row that a draw of y stands for, on the darkest and brightest levels."""
        return y.round() * self.scale
