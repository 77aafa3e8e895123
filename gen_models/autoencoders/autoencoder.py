"""The autoencoder: a deep non-linear generalisation of principal component analysis (Hinton and Salakhutdinov, 2006).

L = sum_i |y_i - D(E(y_i))|^2, E: R^n -> R^r, D: R^r -> R^n, r < n. With hidden = [] both maps are linear, and the
optimum spans the first r principal components.

The denoising autoencoder (Vincent et al., 2010) receives a corrupted row and must return the clean one:
L = sum_i |y_i - D(E(c(y_i)))|^2, with c drawn anew at each step. The identity does not minimise this loss, so r >= n
is allowed.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from gen_models.autoencoders.corruption import corrupted, require_corruption
from gen_models.contracts import Loss, Objective
from gen_models.errors import ConfigError
from gen_models.evaluating import question
from gen_models.layers.arguments import require_whole
from gen_models.layers.coder import decoder, encoder
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels
from gen_models.layers.table_scale import scale_of
from gen_models.noise import Noise
from gen_models.rebuildable import Rebuildable


class Autoencoder(Rebuildable, nn.Module):
    """An autoencoder with latent = r; n is how many numbers a row has.

    hidden            the encoder's widths; the decoder has them reversed
    channels          of convolutions before the widths, each of which halves the image; empty: a perceptron
    corruption        what training undoes: none, gaussian, masking or salt_and_pepper
    corruption_level  the noise's standard deviation in network units, or the share of numbers that are corrupted

    Raises ConfigError for r >= n without a corruption.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        latent: int,
        hidden: Sequence[int],
        channels: Sequence[int] = (),
        corruption: str = "none",
        corruption_level: float = 0.25,
        activation: str = "silu",
    ):
        super().__init__()
        require_whole("latent", latent)
        require_corruption(corruption, corruption_level, levels)
        self.data_scale = scale_of(event_shape, levels)
        self.encoder = encoder(event_shape, hidden, latent, channels=channels, activation=activation)
        self.decoder = decoder(event_shape, hidden, latent, channels=channels, activation=activation)
        self.corruption = corruption
        self.corruption_level = corruption_level
        n = dimensions(event_shape)
        if latent >= n and corruption == "none":
            raise ConfigError(f"latent = {latent} lets {n} dimensions pass unchanged: give fewer than {n}")

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("autoencoder", self, self.loss),)

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Set the standardisation of continuous data from the rows x."""
        self.data_scale.fit(x)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return 1/B sum_i |y_i - D(E(c(y_i)))|^2: a sum over dimensions, a mean over the batch.

        The term "mse" is the mean over dimensions, in network units.
        """
        y = self.data_scale.centre(x).flatten(1)
        seen = self.data_scale.centre(self.corrupt(x, noise)).flatten(1)
        squares = (y - self.decoder(self.encoder(seen))).square()
        return Loss(squares.sum(dim=1).mean(), {"mse": squares.mean()})

    def corrupt(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """Return a draw of c(x), in the data's units, with the corruption that training undoes."""
        return corrupted(x, self.corruption, self.corruption_level, self.data_scale, noise)

    @question
    def denoise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return D(E(x)) for a corrupted x, both in the data's units: pixels of q levels lie on 0 .. q - 1, not [0, 1].

        x may lie between and beyond the levels. The output lies between them; it is not clipped, so it can lie beyond
        them too if the network's output does.
        """
        return self.reconstruct(x)

    @question
    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """Return E(y)."""
        return self.encoder(self.data_scale.centre(x).flatten(1))

    @question
    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        """Return D(z) in the data's units. For data on levels the values lie between the levels."""
        return self.data_scale.uncentre(self.decoder(z).unflatten(1, self.data_scale.event_shape))

    @question
    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return D(E(x)) in the data's units."""
        return self.decode(self.encode(x))
