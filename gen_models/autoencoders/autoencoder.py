"""The autoencoder: a deep non-linear generalisation of principal component analysis (Hinton and Salakhutdinov, 2006).

An encoder E maps a row y of n numbers, in network units (grey levels scaled to [0, 1], other numbers standardised), to
r < n latents; a decoder D maps latents back to a row. The loss over rows y_i is

    L = sum_i |y_i - D(E(y_i))|^2,   E: R^n -> R^r,   D: R^r -> R^n

With hidden = [] both maps are linear, and at the optimum they span the first r principal components.

The denoising autoencoder (Vincent et al., 2010) receives a corrupted row c(y_i) and must return the clean row y_i:
L = sum_i |y_i - D(E(c(y_i)))|^2, with a new draw of the corruption c at each step. The identity does not minimise this
loss, so r >= n is allowed.
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
    """An autoencoder of rows of n numbers, with r = `latent` latents.

    hidden            widths of the encoder's hidden layers; the decoder has them in reverse order
    channels          channels of the encoder's convolutions, which come first and halve the image each; empty: none
    corruption        the corruption that training undoes: none, gaussian, masking or salt_and_pepper
    corruption_level  for gaussian the noise's standard deviation in network units, else the probability with which a
                      number is corrupted
    activation        of the hidden layers: silu, relu or tanh

    Raises ConfigError if r >= n and the corruption is none.
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
        """Return 1/B sum_i |y_i - D(E(c(y_i)))|^2 over the B rows of x: a sum over dimensions, a mean over the batch.

        The term "mse" is the mean over dimensions and batch, in network units.
        """
        y = self.data_scale.centre(x).flatten(1)
        seen = self.data_scale.centre(self.corrupt(x, noise)).flatten(1)
        squares = (y - self.decoder(self.encoder(seen))).square()
        return Loss(squares.sum(dim=1).mean(), {"mse": squares.mean()})

    def corrupt(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
        """Return a random corruption c(x) of the rows x, both in the data's units, as training corrupts them."""
        return corrupted(x, self.corruption, self.corruption_level, self.data_scale, noise)

    @question
    def denoise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return D(E(x)), the clean rows that the model makes of corrupted rows x, both in the data's units.

        Pixels of q grey levels are 0 .. q - 1, not [0, 1]. The numbers in x need not be whole and may lie outside this
        range. The output is neither rounded nor clipped, so it too can lie outside the range.
        """
        return self.reconstruct(x)

    @question
    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """Return the latents E(y) of the rows x."""
        return self.encoder(self.data_scale.centre(x).flatten(1))

    @question
    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        """Return D(z) in the data's units; grey levels are not rounded to whole numbers."""
        return self.data_scale.uncentre(self.decoder(z).unflatten(1, self.data_scale.event_shape))

    @question
    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return D(E(x)), without a corruption, in the data's units."""
        return self.decode(self.encode(x))
