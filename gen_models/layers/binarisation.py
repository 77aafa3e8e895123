"""Binarisation of grey levels: a pixel x in 0 .. levels - 1 becomes y ~ Bernoulli(x/(levels - 1)), drawn at each step.

This is the protocol of Burda, Grosse and Salakhutdinov (2016, after Salakhutdinov and Murray, 2008) for binarised
MNIST. Likelihoods under other protocols, a fixed file of binary images (Larochelle and Murray, 2011) or a threshold,
differ from it by about 2 nats. The likelihood is the probability of the binary y: it can be compared with other
likelihoods of y, but not with densities of the grey levels. Data with levels = 2 are binary already, so that y = x.
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
    """The map from grey levels x to binary pixels y in {0, 1}; it has the interface of `DataScale`.

    Raises ConfigError for tables and for continuous data, which have no grey levels.
    """

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
        """Return 0: the likelihood is a probability, which does not depend on the unit of x."""
        return torch.zeros_like(self.scale)

    def forward(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw y ~ Bernoulli(x/(levels - 1)) from the stream "binarise" of the noise.

        A pixel becomes 1 if a uniform draw is below its probability; with shared noise all rows use the same draws.
        """
        return (noise.uniform("binarise", x.shape, like=x) < self.centre(x)).to(x.dtype)

    def centre(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return the mean of y, x/(levels - 1), for encoders and reconstructions."""
        return x / self.scale

    def uncentre(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return the grey values (levels - 1) y of probabilities y: the inverse of `centre`.

        Grey values may lie between the grey levels.
        """
        return y * self.scale

    def as_sampled(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw binary y for the rows x, and return them in the data's units: each pixel is 0 or levels - 1.

        Samples of the model have the same two values, so rows and samples can be compared.
        """
        return self.quantise(self(x, noise))

    def drawn(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return rows y that a model drew, in the data's units."""
        return self.quantise(y)

    def quantise(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return binary draws y in the data's units: each pixel is 0 or levels - 1."""
        return y.round() * self.scale
