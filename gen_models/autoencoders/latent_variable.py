"""The base class of models with Gaussian latents: the bound, and all uses of q(z|y), p(z) and p(y|z).

y is a row in network units. Its latents z = (z_1, ..., z_L) have L layers, of which z_1 is next to the data:

    p(y, z) = p(y|z_1) p(z_1|z_2) ... p(z_L),   q(z|y) = q(z_1|y) q(z_2|z_1) ...,   p(z_L) = N(0, I)

All factors except p(y|z_1) are diagonal Gaussians whose moments are computed by networks. L = 1 is the ordinary VAE,
with p(z_1) = N(0, I) and one factor q(z_1|y); L = 2 is the deeper model of Burda, Grosse and Salakhutdinov (2016).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.autoencoders.gaussian import gaussian_log_density, mean_and_log_var
from gen_models.autoencoders.likelihoods import (
    BernoulliLikelihood,
    DiscretisedLikelihood,
    GaussianLikelihood,
    Likelihood,
)
from gen_models.autoencoders.mixed_likelihood import MixedLikelihood
from gen_models.contracts import Loss, Objective
from gen_models.errors import ConfigError
from gen_models.evaluating import question
from gen_models.layers.arguments import require_choice, require_widths
from gen_models.layers.binarisation import Binarisation
from gen_models.layers.cells import Cells
from gen_models.layers.coder import by_vectors, decoder, encoder
from gen_models.layers.data_scale import DataScale, dimensions
from gen_models.layers.levels import Levels, is_table
from gen_models.layers.mlp import ACTIVATIONS, mlp
from gen_models.layers.table_scale import MixedScale, scale_of
from gen_models.noise import Noise
from gen_models.rebuildable import Rebuildable

LIKELIHOODS = ("gaussian", "discretised", "bernoulli", "mixed")
POINTS_AT_ONCE = 2**14  # rows times samples decoded together: bounds memory and does not change the result

Moments = tuple[Tensor, Tensor]  # (mu, log_var)


class LatentVariableModel(Rebuildable, nn.Module, ABC):
    """A model that is a Bound, Encoder, Decoder, Reconstructor and Sampler; a subclass defines its training by `loss`.

    latents          the number of latents in each layer, from the data up
    hidden           for each layer, the hidden widths of its encoder network; its decoder network has them reversed
    channels         channels of the convolutions next to the data; empty: none
    activation       of the hidden layers: silu, relu or tanh
    likelihood       p(y|z_1), one of
                         gaussian     for numbers
                         discretised  for grey levels, each with a probability of its own
                         bernoulli    for binary pixels, each drawn with its grey value as the probability of 1
                         mixed        for a table, see MixedLikelihood
    sigma, variance  of the gaussian, mixed or discretised likelihood: see GaussianLikelihood and DiscretisedLikelihood
    """

    data_scale: DataScale | Binarisation
    likelihood: Likelihood

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        latents: Sequence[int],
        hidden: Sequence[Sequence[int]],
        channels: Sequence[int],
        activation: str,
        likelihood: str,
        sigma: float,
        variance: str,
    ):
        super().__init__()
        require_choice("likelihood", likelihood, LIKELIHOODS)
        if likelihood == "bernoulli":
            self.data_scale = Binarisation(event_shape, levels)
            self.likelihood = BernoulliLikelihood(dimensions(event_shape))
        elif likelihood == "discretised":
            self.data_scale = Cells(event_shape, levels)
            self.likelihood = DiscretisedLikelihood(
                dimensions(event_shape), self.data_scale.levels or 0, sigma=sigma, variance=variance
            )
        elif likelihood == "mixed":
            if not is_table(levels):
                raise ConfigError(
                    f"likelihood = 'mixed' needs levels to list a table's columns, and levels = {levels!r}: "
                    f"use likelihood: gaussian, or data whose conf lists them"
                )
            scale = MixedScale(event_shape, levels)
            self.data_scale = scale
            self.likelihood = MixedLikelihood(scale.columns, sigma=sigma, variance=variance)
        else:
            self.data_scale = scale_of(event_shape, levels)
            self.likelihood = GaussianLikelihood(sigma, variance)
        first, *upper = hidden
        self.latents = tuple(latents)
        self.encoder = encoder(event_shape, first, 2 * latents[0], channels=channels, activation=activation)
        self.decoder = decoder(event_shape, first, latents[0], channels=channels, activation=activation)
        act = ACTIVATIONS[activation]
        steps = list(zip(pairwise(latents), upper, strict=True))
        self.upper_encoders = nn.ModuleList(mlp(n, widths, 2 * m, activation=act) for (n, m), widths in steps)
        self.upper_decoders = nn.ModuleList(mlp(m, widths[::-1], 2 * n, activation=act) for (n, m), widths in steps)

    @abstractmethod
    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return the loss that training descends.

        Its term "nats" must be the negative of the bound on log p(x), for x in the data's units.
        """

    @abstractmethod
    def objectives(self) -> tuple[Objective, ...]: ...

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Set the standardisation of continuous data, and start probabilities at their frequencies in the rows x."""
        self.data_scale.fit(x)
        mean = self.data_scale.centre(x.mean(dim=0, keepdim=True))
        self.likelihood.start(mean.flatten(), len(x))

    @property
    def sigma(self) -> Tensor | float:
        """Return the current standard deviation of y|z, in network units.

        Raises AttributeError for a Bernoulli likelihood, which has none.
        """
        if isinstance(self.likelihood, BernoulliLikelihood):
            raise AttributeError("a Bernoulli likelihood has no sigma")
        return cast(GaussianLikelihood | MixedLikelihood, self.likelihood).std()

    # Capabilities

    @question
    def elbo(self, x: Float[Tensor, "batch *event"], noise: Noise, samples: int = 1) -> Float[Tensor, " batch"]:
        """Return log 1/K sum_k w_k, w_k = p(y, z_k) / q(z_k|y), z_k ~ q (Burda, Grosse and Salakhutdinov, 2016).

        K = `samples`. The result is in nats, for x in the data's units. At K = 1 its expectation over the noise is the
        ELBO. Even at K = 1 log w is sampled, and no KL in closed form is used: one formula then serves all K, and if q
        is the posterior, every single draw equals log p(x).
        """
        y = self.data_scale(x, noise).flatten(1)
        log_weights = self.log_weights(y, self.draws(y, noise, samples))
        return importance_bound(log_weights) + self.data_scale.log_det()

    @question
    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """Return the mean of q(z_1|y) for each row x, where y is x in network units, without noise."""
        mu, _ = self.posterior(self.data_scale.centre(x).flatten(1))
        return mu

    @question
    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        """Return the mean of p(x|z_1), in the data's units; grey levels are not rounded to whole numbers."""
        y = self.likelihood.mean(self.decoder(z))
        return self.data_scale.uncentre(y.unflatten(1, self.data_scale.event_shape))

    @question
    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return the mean of p(x|z_1) at the mean of q(z_1|y), in the data's units."""
        return self.decode(self.encode(x))

    @question
    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw z ~ p(z), then x ~ p(x|z), n times; so x contains the likelihood's noise (of size sigma if Gaussian)."""
        y = self.likelihood.draw(self.decoder(self.prior(n, noise)), noise)
        return self.data_scale.drawn(y.unflatten(1, self.data_scale.event_shape))

    # The pieces of the bound. y, in network units, has the shape (batch, dim); each z_l has (batch, samples, latent_l)

    def posterior(self, y: Float[Tensor, "batch dim"]) -> Moments:
        """Return (mu, log_var) of q(z_1|y), (batch, latent_1) each, for rows y in network units."""
        return mean_and_log_var(self.encoder(y))

    def draws(self, y: Float[Tensor, "batch dim"], noise: Noise, samples: int) -> list[Tensor]:
        """Return standard normal draws for z_1, ..., z_L: for layer l of the shape (batch, samples, latent_l)."""
        return [
            noise.normal(_stream("posterior", layer), (len(y), samples, latent), like=y)
            for layer, latent in enumerate(self.latents)
        ]

    def infer(self, y: Float[Tensor, "batch dim"], draws: Sequence[Tensor]) -> tuple[list[Tensor], list[Moments]]:
        """Return (latents, moments), two lists with an entry for each layer l, z_1 first.

        latents: z_l = mu_l + exp(log_var_l / 2) epsilon_l, with epsilon_l from `draws`; (batch, samples, latent_l)
        moments: (mu_l, log_var_l) of q, of the same shape; those of z_1 are equal for all samples: (batch, 1, latent_1)
        """
        mu, log_var = self.posterior(y)
        moments = [(mu[:, None], log_var[:, None])]
        latents = [reparameterised(moments[0], draws[0])]
        for network, epsilon in zip(self.upper_encoders, draws[1:], strict=True):
            moments.append(mean_and_log_var(network(latents[-1])))
            latents.append(reparameterised(moments[-1], epsilon))
        return latents, moments

    def log_weights(self, y: Float[Tensor, "batch dim"], draws: Sequence[Tensor]) -> Float[Tensor, "batch samples"]:
        """Return log w = log p(y, z) - log q(z|y) of each sample, for z made from `draws` as `infer` does."""
        pieces = []
        for piece in zip(*(in_pieces(epsilon) for epsilon in draws), strict=True):
            latents, moments = self.infer(y, piece)
            pieces.append(self.log_joint(y, latents) - log_q(latents, moments))
        return joined(pieces)

    def log_joint(self, y: Float[Tensor, "batch dim"], latents: Sequence[Tensor]) -> Float[Tensor, "batch samples"]:
        """Return log p(y, z) = log p(y|z_1) + log p(z_1|z_2) + ... + log p(z_L)."""
        log_p = self.log_likelihood(y, latents[0])
        for network, (below, above) in zip(self.upper_decoders, pairwise(latents), strict=True):
            log_p = log_p + gaussian_log_density(below, *mean_and_log_var(network(above)))
        return log_p + gaussian_log_density(latents[-1], 0.0, 0.0)

    def log_likelihood(
        self, y: Float[Tensor, "batch dim"], z: Float[Tensor, "batch samples latent"]
    ) -> Float[Tensor, "batch samples"]:
        """Return log p(y|z_1) for each sample z of z_1."""
        return self.likelihood.log_prob(y[:, None], by_vectors(self.decoder, z))

    def prior(self, n: int, noise: Noise) -> Float[Tensor, "batch latent"]:
        """Draw n times z ~ p(z), from the top layer z_L down, and return z_1."""
        top = len(self.latents) - 1
        like = self.data_scale.scale
        z = noise.normal(_stream("prior", top), (n, self.latents[top]), like=like)
        for layer in reversed(range(top)):
            moments = mean_and_log_var(self.upper_decoders[layer](z))
            z = reparameterised(moments, noise.normal(_stream("prior", layer), (n, self.latents[layer]), like=like))
        return z


def importance_bound(log_weights: Float[Tensor, "batch samples"]) -> Float[Tensor, " batch"]:
    """Return log 1/K sum_k w_k of each row, given log w_k of its K samples."""
    return torch.logsumexp(log_weights, dim=1) - math.log(log_weights.shape[1])


def log_q(latents: Sequence[Tensor], moments: Sequence[Moments]) -> Float[Tensor, "batch samples"]:
    """Return log q(z|y) = log q(z_1|y) + log q(z_2|z_1) + ..., with both lists from `infer`."""
    layers = [gaussian_log_density(z, mu, log_var) for z, (mu, log_var) in zip(latents, moments, strict=True)]
    return torch.stack(layers).sum(dim=0)


def reparameterised(moments: Moments, epsilon: Tensor) -> Tensor:
    """Return mu + exp(log_var / 2) epsilon (Kingma and Welling, 2014)."""
    mu, log_var = moments
    return mu + (0.5 * log_var).exp() * epsilon


def in_pieces(z: Float[Tensor, "batch samples latent"]) -> Sequence[Float[Tensor, "batch _ latent"]]:
    """Split the samples of each row into pieces, which are processed one after the other to bound memory.

    With gradients enabled there is one piece: the graph of every piece is kept, so splitting would save no memory.
    """
    at_once = max(1, POINTS_AT_ONCE // max(1, len(z)))
    return (z,) if torch.is_grad_enabled() or z.shape[1] <= at_once else z.split(at_once, dim=1)


def joined(pieces: Sequence[Float[Tensor, "batch _"]]) -> Float[Tensor, "batch samples"]:
    """Join the results for the pieces of `in_pieces` along the samples' axis; a single piece is returned as it is."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), dim=1)


def require_layers(latents: Sequence[int], hidden: Sequence[Sequence[int]]) -> None:
    """Raise ConfigError unless `latents` has at least one layer, and `hidden` a list of widths for each layer."""
    require_widths("latents", latents)
    if not isinstance(hidden, Sequence) or isinstance(hidden, str):
        raise ConfigError(f"hidden = {hidden!r} cannot be used: give a list of widths for each layer, such as [[8]]")
    if not latents or len(hidden) != len(latents):
        raise ConfigError(
            f"hidden = {list(hidden)} cannot be used: give a list of widths for each of latents = {list(latents)}"
        )
    for i, widths in enumerate(hidden):
        require_widths(f"hidden[{i}]", widths)


def _stream(name: str, layer: int) -> str:
    return name if layer == 0 else f"{name}.{layer + 1}"
