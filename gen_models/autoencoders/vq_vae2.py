"""The VQ-VAE with two grids of codes: a coarse one, the top, and a fine one, the bottom.

Source: Razavi, van den Oord and Vinyals, 2019, section 3 and algorithm 1.

    h = E_b(u);  z_t = E_t(h);  z_b = Q_b(h, D_t(e_t));  u' = D(e_b, up(e_t))
    L = |u - u'|^2 + beta (|z_t - sg(e_t)|^2 + |z_b - sg(e_b)|^2)
    log p(k_t, k_b) = log p(k_t) + log p(k_b | k_t), two gated PixelCNNs

u is the image scaled to variance 1; E_b, E_t, Q_b are encoders and D_t, D, up decoders; sg stops the gradient.
k_t and k_b are grids of codes: the indices of the code vectors e_t and e_b that lie nearest to z_t and z_b; each grid
has its own codebook. If the code vectors follow a gradient, |sg(z_t) - e_t|^2 + |sg(z_b) - e_b|^2 is added to L.

The top encodes what the picture is, the bottom its detail. If the perplexity of a grid's codes falls to 1, only one
code is in use: the grid has collapsed, and a prior loss of 0 for it is no success. Therefore perplexity and prior loss
are reported for each grid.

The top can also use many codes that carry no information. If the bottom grid is fine enough to draw the picture alone,
no gradient asks the top for more, and its codes end up depending on the position in the grid, not on the picture.
Therefore a fraction of the training rows, `bottom_dropout`, is decoded from the top alone, with the bottom's vectors
set to 0 (as for the later codebooks of Zeghidour et al., 2021, section III.C).

There are two objectives, as in vq_vae.py: "vq_vae" trains encoders, code vectors and decoders; "prior" trains both
PixelCNNs, and its gradient stops at the codes. The paper's top prior also has attention, which is left out here; the
bottom prior is conditioned through a decoder of the top codes.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.autoencoders.pixel_cnn import PixelCNN
from gen_models.contracts import Loss, Objective
from gen_models.errors import ConfigError
from gen_models.evaluating import question
from gen_models.layers.arguments import require_positive, require_whole
from gen_models.layers.grid_conv import down, grid_shape, start_at_unit_variance, up
from gen_models.layers.levels import Levels
from gen_models.layers.quantiser import Quantised, Quantiser, is_share
from gen_models.layers.unit_images import UnitImages
from gen_models.noise import Noise
from gen_models.rebuildable import Rebuildable

START_ROWS = 2048  # rows used to start the encoders and the code vectors

Codes = tuple[Int[Tensor, "batch top_h top_w"], Int[Tensor, "batch h w"]]


class VQVAE2(Rebuildable, nn.Module):
    """A VQ-VAE with two grids of codes, each with its own K = `codes` code vectors of `dim` numbers.

    The bottom grid is 2^scales times coarser than the image, the top grid 2^(scales + 1) times.

    channels, blocks               width and number of residual blocks of encoders and decoders
    beta                           weight of the commitment losses |z - sg(e)|^2
    decay                          of the moving averages that update the code vectors; null: they follow a gradient
    bottom_dropout                 fraction of training rows that are decoded from the top alone; 0 in the paper
    prior_channels, prior_layers   of each PixelCNN
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
        bottom_dropout: float = 0.0,
    ):
        super().__init__()
        require_whole("channels", channels)
        require_whole("blocks", blocks, least=0)
        require_positive("beta", beta)
        if not is_share(bottom_dropout):
            raise ConfigError(f"bottom_dropout = {bottom_dropout!r} cannot be used: give a share from 0 to below 1")
        self.top_grid = grid_shape(event_shape, scales + 1)
        self.grid = grid_shape(event_shape, scales)
        self.images = UnitImages(event_shape, levels)
        size = {"width": channels, "blocks": blocks}
        self.encoder = down(event_shape[0], channels, scales=scales, **size)
        self.top_encoder = down(channels, dim, scales=1, **size)
        self.top_quantiser = Quantiser(codes, dim, decay=decay, stream="top")
        self.top_decoder = up(dim, dim, scales=1, **size)
        self.bottom_encoder = down(channels + dim, dim, width=channels, blocks=0, scales=0)
        self.bottom_quantiser = Quantiser(codes, dim, decay=decay, stream="bottom")
        self.upsample = nn.ConvTranspose2d(dim, dim, 4, stride=2, padding=1)
        self.decoder = up(2 * dim, event_shape[0], scales=scales, **size)
        self.prior = PixelCNN(codes, channels=prior_channels, layers=prior_layers)
        self.bottom_prior = ConditionalPixelCNN(codes, channels=prior_channels, layers=prior_layers)
        self.dim = dim
        self.beta = beta
        self.bottom_dropout = bottom_dropout

    def objectives(self) -> tuple[Objective, ...]:
        priors = nn.ModuleList([self.prior, self.bottom_prior])
        coder = nn.ModuleList(
            [
                self.encoder,
                self.top_encoder,
                self.top_quantiser,
                self.top_decoder,
                self.bottom_encoder,
                self.bottom_quantiser,
                self.upsample,
                self.decoder,
            ]
        )
        return (
            Objective("vq_vae", coder, self.loss, after_step=self.update),
            Objective("prior", priors, self.prior_loss),
        )

    def update(self) -> None:
        """Update both codebooks. The engine calls this after each step of the objective "vq_vae"."""
        self.top_quantiser.update()
        self.bottom_quantiser.update()

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Set the images' mean and variance, then start the top and the bottom.

        For each, the encoder's output is scaled to variance 1, and the code vectors start by k-means on it.
        """
        self.images.fit(x)
        h = self.encoder(self.images.centre(x[:START_ROWS]))
        z = start_at_unit_variance(self.top_encoder, h)
        self.top_quantiser.start(z, noise)
        told = self.top_decoder(self.top_quantiser.lookup(self.top_quantiser.indices(z)))
        self.bottom_quantiser.start(start_at_unit_variance(self.bottom_encoder, torch.cat([h, told], dim=1)), noise)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return the loss L of the module docstring, each of its squares a mean over its numbers, with these terms.

        distortion                            the mean of (u - u')^2: the fraction of the images' variance that is
                                              lost, over all rows, also those decoded without the bottom
        commitment_top, commitment_bottom     the mean of (z - e)^2 on each grid
        perplexity_top, perplexity_bottom     exp of the entropy of the codes in recent training batches: K if all are
                                              equally frequent
        """
        u = self.images.centre(x)
        h = self.encoder(u)
        top = self.top_quantiser(self.top_encoder(h), noise)
        bottom = self.bottom_quantiser(self._bottom(h, top.straight), noise)
        details = bottom.straight
        if self.training and self.bottom_dropout:
            details = details * noise.bernoulli("bottom", 1 - self.bottom_dropout, (len(u), 1, 1, 1), like=u)
        distortion = (u - self._decode(top.straight, details)).square().mean()
        value = distortion + self._codebook_loss(top) + self._codebook_loss(bottom)
        terms = {
            "distortion": distortion,
            "commitment_top": top.commitment,
            "commitment_bottom": bottom.commitment,
            "perplexity_top": self.top_quantiser.perplexity(),
            "perplexity_bottom": self.bottom_quantiser.perplexity(),
        }
        return Loss(value, terms)

    def prior_loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return the mean over rows of -log p(k_t) - log p(k_b | k_t), in nats.

        The terms are this sum, "nats", and its two parts, "nats_top" and "nats_bottom".
        """
        with torch.no_grad():
            top, bottom = self.codes(x)
        nats_top = -self.prior.log_prob(top).mean()
        nats_bottom = -self.bottom_prior.log_prob(bottom, top).mean()
        value = nats_top + nats_bottom
        return Loss(value, {"nats": value, "nats_top": nats_top, "nats_bottom": nats_bottom})

    @question
    def codes(self, x: Float[Tensor, "batch *event"]) -> Codes:
        """Return (k_t(x), k_b(x)): two grids of code indices for each row."""
        h = self.encoder(self.images.centre(x))
        top = self.top_quantiser.indices(self.top_encoder(h))
        return top, self.bottom_quantiser.indices(self._bottom(h, self.top_quantiser.lookup(top)))

    @question
    def decode_codes(self, codes: Codes) -> Float[Tensor, "batch *event"]:
        """Return D(e_b, up(e_t)) in the data's units; grey levels are not rounded to whole numbers."""
        return self.images.uncentre(self._decode(*self._lookup(codes)))

    def prior_of(self, level: int, above: tuple[Tensor, ...]) -> tuple[PixelCNN, Tensor | None]:
        """Return (PixelCNN, its context) of one grid: of the top for level = 0, of the bottom for level = 1.

        above  the grids of codes before this one: empty for the top, the top's codes for the bottom
        """
        if level == 0:
            return self.prior, None
        return self.bottom_prior.density, self.bottom_prior.context(above[0])

    @question
    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """Return the nearest code vectors of all positions, flattened: those of the top, then those of the bottom."""
        top, bottom = self._lookup(self.codes(x))
        return torch.cat([top.flatten(1), bottom.flatten(1)], dim=1)

    @question
    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        """Return the decoded z in the data's units. z has the layout of `encode`, but need not be code vectors."""
        (h, w), (height, width) = self.top_grid, self.grid
        top, bottom = z.split([self.dim * h * w, self.dim * height * width], dim=1)
        e_top, e_bottom = top.unflatten(1, (self.dim, h, w)), bottom.unflatten(1, (self.dim, height, width))
        return self.images.uncentre(self._decode(e_top, e_bottom))

    @question
    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return the decoded codes of x, in the data's units."""
        return self.decode_codes(self.codes(x))

    @question
    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw k_t ~ p(k_t) and k_b ~ p(k_b | k_t), and return the decoded codes, in the data's units."""
        top = self.prior.sample((n, *self.top_grid), noise, "prior/top")
        bottom = self.bottom_prior.sample((n, *self.grid), noise, "prior/bottom", top)
        return self.images.quantise(self._decode(*self._lookup((top, bottom))))

    def _bottom(self, h: Float[Tensor, "batch channels h w"], top: Float[Tensor, "batch dim top_h top_w"]) -> Tensor:
        return self.bottom_encoder(torch.cat([h, self.top_decoder(top)], dim=1))

    def _decode(self, top: Float[Tensor, "batch dim top_h top_w"], bottom: Float[Tensor, "batch dim h w"]) -> Tensor:
        return self.decoder(torch.cat([bottom, self.upsample(top)], dim=1))

    def _lookup(self, codes: Codes) -> tuple[Tensor, Tensor]:
        top, bottom = codes
        return self.top_quantiser.lookup(top), self.bottom_quantiser.lookup(bottom)

    def _codebook_loss(self, found: Quantised) -> Tensor:
        follows_gradient = self.top_quantiser.decay is None
        return self.beta * found.commitment + (found.codebook if follows_gradient else 0.0)


class ConditionalPixelCNN(nn.Module):
    """A density of grids of codes, given another grid of codes with half as many rows and columns.

    A small decoder turns the given codes into features, which are the context of a PixelCNN.
    """

    def __init__(self, codes: int, *, channels: int, layers: int):
        super().__init__()
        self.embedding = nn.Embedding(codes, channels)
        self.condition = up(channels, channels, width=channels, blocks=1, scales=1)
        self.density = PixelCNN(codes, channels=channels, layers=layers, context=channels)

    def log_prob(
        self, codes: Int[Tensor, "batch h w"], given: Int[Tensor, "batch top_h top_w"]
    ) -> Float[Tensor, " batch"]:
        """Return log p(codes | given) in nats."""
        return self.density.log_prob(codes, self.context(given))

    def sample(
        self, shape: Sequence[int], noise: Noise, stream: str, given: Int[Tensor, "batch top_h top_w"]
    ) -> Int[Tensor, "batch h w"]:
        """Draw grids of the given shape (n, h, w), conditioned on `given`."""
        return self.density.sample(shape, noise, stream, self.context(given))

    def context(self, given: Int[Tensor, "batch top_h top_w"]) -> Float[Tensor, "batch seen h w"]:
        """Return the features decoded from the codes `given`, at twice the resolution of that grid."""
        return self.condition(self.embedding(given).movedim(-1, 1))
