"""The autoencoder: a deep non-linear generalisation of principal component analysis (Hinton and Salakhutdinov, 2006).

L = sum_i |y_i - D(E(y_i))|^2, E: R^n -> R^r, D: R^r -> R^n, r < n. With hidden = [] both are linear and the
best of them spans the first r principal components.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Loss, Objective
from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_whole, require_widths
from gen_models.layers.data_scale import DataScale, dimensions
from gen_models.layers.mlp import mlp
from gen_models.noise import Noise


class Autoencoder(nn.Module):
    """latent = r < n = the numbers in a row; hidden = the encoder's widths, which the decoder reverses."""

    def __init__(self, event_shape: Sequence[int], levels: int | None, *, latent: int, hidden: Sequence[int]):
        super().__init__()
        require_whole("latent", latent)
        require_widths("hidden", hidden)
        n = dimensions(event_shape)
        if latent >= n:
            raise ConfigError(f"latent = {latent} lets {n} dimensions pass unchanged: give fewer than {n}")
        self.data_scale = DataScale(event_shape, levels)
        self.encoder = mlp(n, hidden, latent)
        self.decoder = mlp(latent, hidden[::-1], n)

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("autoencoder", self, self.loss),)

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Standardise continuous data."""
        self.data_scale.fit(x)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """1/B sum_i |y_i - D(E(y_i))|^2: a sum over dimensions, a mean over the batch.

        The term "mse" is per dimension, in network units.
        """
        y = self.data_scale.centre(x).flatten(1)
        squares = (y - self.decoder(self.encoder(y))).square()
        return Loss(squares.sum(dim=1).mean(), {"mse": squares.mean()})

    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """E(y)."""
        return self.encoder(self.data_scale.centre(x).flatten(1))

    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        """D(z) as stored; between the levels, if the data are on levels."""
        return self.data_scale.uncentre(self.decoder(z).unflatten(1, self.data_scale.event_shape))

    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """D(E(x)) as stored."""
        return self.decode(self.encode(x))
