"""Grey levels as probabilities of ink: y ~ Bernoulli(x/(levels - 1)), drawn anew at each step.

The protocol of Burda, Grosse and Salakhutdinov (2016, after Salakhutdinov and Murray, 2008) for binarised MNIST; it and
those with a fixed file (Larochelle and Murray, 2011) or a threshold differ by about 2 nats. A likelihood under it is
of the binary y: it compares with others of its kind, not with densities of the levels. Data on 2 levels are y.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.layers.data_scale import DataScale
from gen_models.noise import Noise


class Binarisation(nn.Module):
    """What `DataScale` is to densities, for a model of binary pixels: between x as stored and y in {0, 1}."""

    scale: Tensor

    def __init__(self, event_shape: Sequence[int], levels: int | None):
        super().__init__()
        if levels is None:
            raise ConfigError("levels = null cannot be binarised: a Bernoulli likelihood needs data on grey levels")
        checked = DataScale(event_shape, levels)
        self.event_shape = checked.event_shape
        self.levels = levels
        self.scale = nn.Buffer(torch.tensor(float(levels - 1)))

    def fit(self, x: Float[Tensor, "batch *event"]) -> None:
        """Nothing: the levels say all."""

    def log_det(self) -> Float[Tensor, ""]:
        """0: a probability has no unit to change."""
        return torch.zeros_like(self.scale)

    def forward(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """y ~ Bernoulli(x/(levels - 1)), by the stream "binarise"; shared noise is one threshold for all rows."""
        return (noise.uniform("binarise", x.shape, like=x) < self.centre(x)).to(x.dtype)

    def centre(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """E y = x/(levels - 1): for encoders and reconstructions."""
        return x / self.scale

    def uncentre(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """The inverse of `centre`: a probability of ink as a grey, between the levels."""
        return y * self.scale

    def quantise(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """The datum that a draw of y stands for: the darkest level or the brightest."""
        return y.round() * self.scale
