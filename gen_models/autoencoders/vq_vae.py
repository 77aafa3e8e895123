"""The vector-quantised autoencoder with a learned prior (van den Oord, Vinyals and Kavukcuoglu, 2017).

    z = E(u) on a grid, k = codes (indices) of the nearest code vectors, e = codebook[k], u' = D(e)
    L = |u - u'|^2 + |sg(z) - e|^2 + beta |z - sg(e)|^2        equation 3, each a mean over its numbers
    log p(k) by a gated PixelCNN

E and D are the encoder and the decoder, and sg stops the gradient. u is the image scaled to variance 1, so that the
weights of the three terms do not depend on the data's unit. If the code vectors are moving averages, the middle term
trains nothing and is left out (section 3.2 and appendix A.1).

Training has two objectives: "vq_vae" moves encoder, code vectors and decoder; "prior" moves the PixelCNN, and its
gradient stops at the codes. The paper trains the prior after the autoencoder. Here both train together, so that one
engine, one checkpoint and one resume are enough, and `sample` works whenever a training reports. Neither loss moves
the other's parameters: once the codes no longer change, the prior's training is the paper's.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.autoencoders.pixel_cnn import PixelCNN
from gen_models.contracts import Loss, Objective
from gen_models.evaluating import question
from gen_models.layers.arguments import require_positive, require_whole
from gen_models.layers.grid_conv import down, grid_shape, start_at_unit_variance, up
from gen_models.layers.levels import Levels
from gen_models.layers.quantiser import Quantiser
from gen_models.layers.unit_images import UnitImages
from gen_models.noise import Noise
from gen_models.rebuildable import Rebuildable

START_ROWS = 2048  # rows used to start the encoder and the code vectors; more rows change neither


class VQVAE(Rebuildable, nn.Module):
    """A VQ-VAE with K = `codes` code vectors of `dim` numbers.

    Its grid of h by w positions is 2^scales times coarser than the image, so the codes of an image take at most
    h w log2 K bits. The latents of `encode` and `decode` are the vectors of all positions, flattened: dim h w numbers.

    channels, blocks               width and number of residual blocks of encoder and decoder
    beta                           weight of the commitment loss |z - sg(e)|^2
    decay                          of the moving averages that update the code vectors; null: they follow a gradient
    prior_channels, prior_layers   of the PixelCNN
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        codes: int,
        dim: int,
        channels: int,
        blocks: int,
        scales: int,
        prior_channels: int,
        prior_layers: int,
        beta: float = 0.25,
        decay: float | None = 0.99,
    ):
        super().__init__()
        require_whole("channels", channels)
        require_whole("blocks", blocks, least=0)
        require_positive("beta", beta)
        self.grid = grid_shape(event_shape, scales)
        self.images = UnitImages(event_shape, levels)
        self.encoder = down(event_shape[0], dim, width=channels, blocks=blocks, scales=scales)
        self.quantiser = Quantiser(codes, dim, decay=decay)
        self.decoder = up(dim, event_shape[0], width=channels, blocks=blocks, scales=scales)
        self.prior = PixelCNN(codes, channels=prior_channels, layers=prior_layers)
        self.dim = dim
        self.beta = beta

    def objectives(self) -> tuple[Objective, ...]:
        coder = nn.ModuleList([self.encoder, self.quantiser, self.decoder])
        return (
            Objective("vq_vae", coder, self.loss, after_step=self.quantiser.update),
            Objective("prior", self.prior, self.prior_loss),
        )

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Set the images' mean and variance, scale the encoder's output to variance 1, and run k-means on it.

        The means that k-means finds are the first code vectors.
        """
        self.images.fit(x)
        z = start_at_unit_variance(self.encoder, self.images.centre(x[:START_ROWS]))
        self.quantiser.start(z, noise)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return |u - u'|^2 + beta |z - sg(e)|^2, each a mean over its numbers, with the terms below.

        If the code vectors follow a gradient, |sg(z) - e|^2 is added.

        distortion   the mean of (u - u')^2: the fraction of the images' variance that is lost
        commitment   the mean of (z - e)^2
        perplexity   exp of the entropy of the codes in recent training batches: K if all are equally frequent
        """
        u = self.images.centre(x)
        found = self.quantiser(self.encoder(u), noise)
        distortion = (u - self.decoder(found.straight)).square().mean()
        value = distortion + self.beta * found.commitment
        if self.quantiser.decay is None:
            value = value + found.codebook
        terms = {"distortion": distortion, "commitment": found.commitment, "perplexity": self.quantiser.perplexity()}
        return Loss(value, terms)

    def prior_loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return the mean of -log p(k(x)) in nats a row: ln 2 times the bits that the codes cost under the prior."""
        with torch.no_grad():
            (codes,) = self.codes(x)
        nats = -self.prior.log_prob(codes).mean()
        return Loss(nats, {"nats": nats})

    @question
    def codes(self, x: Float[Tensor, "batch *event"]) -> tuple[Int[Tensor, "batch h w"]]:
        """Return (k(x),): one grid of code indices for each row."""
        return (self.quantiser.indices(self.encoder(self.images.centre(x))),)

    @question
    def decode_codes(self, codes: tuple[Int[Tensor, "batch h w"]]) -> Float[Tensor, "batch *event"]:
        """Return D(codebook[k]) in the data's units; grey levels are not rounded to whole numbers."""
        (indices,) = codes
        return self.images.uncentre(self.decoder(self.quantiser.lookup(indices)))

    def prior_of(self, level: int, above: tuple[Tensor, ...]) -> tuple[PixelCNN, Tensor | None]:
        """Return (the PixelCNN of the only grid, None): the grid has no context. Both arguments are unused."""
        return self.prior, None

    @question
    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """Return the nearest code vectors of all positions, flattened to dim h w numbers."""
        (indices,) = self.codes(x)
        return self.quantiser.lookup(indices).flatten(1)

    @question
    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        """Return D(z) in the data's units. z has the layout of `encode`, but need not consist of code vectors."""
        return self.images.uncentre(self.decoder(z.unflatten(1, (self.dim, *self.grid))))

    @question
    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return D(codebook[k(x)]), in the data's units."""
        return self.decode_codes(self.codes(x))

    @question
    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw k from the prior and return D(codebook[k]), in the data's units."""
        codes = self.prior.sample((n, *self.grid), noise, "prior")
        return self.images.quantise(self.decoder(self.quantiser.lookup(codes)))
