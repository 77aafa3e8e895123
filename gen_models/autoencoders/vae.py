"""The variational autoencoder (Kingma and Welling, 2014) with a Gaussian decoder, every constant kept.

    z ~ N(0, I_r),  y|z ~ N(f(z), sigma^2 I_n),  q(z|y) = N(mu(y), diag exp log_var(y))
    log p(y) >= ELBO(y) = E_q log p(y|z) - KL(q(z|y) || p(z))

Sums run over dimensions, means over the batch. sigma is a parameter: at 1 on data in [0, 1] the KL wins
and the posterior collapses. beta (Higgins et al., 2017) weighs the KL in training only, and is one knob
with sigma: beta-ELBO(beta, sigma) = beta ELBO(1, sigma sqrt(beta)) + constant.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Loss, Objective
from gen_models.layers.arguments import require_positive, require_whole, require_widths
from gen_models.layers.data_scale import DataScale, dimensions
from gen_models.layers.mlp import mlp
from gen_models.noise import Noise

MAX_LOG_VAR = 10.0  # posterior standard deviations stay within e^-5 .. e^5
SAMPLES_AT_ONCE = 64  # of the K of the importance-weighted bound: limits memory, not the result


class VAE(nn.Module):
    """latent = r; hidden = the encoder's widths, which the decoder reverses; sigma in network units."""

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        *,
        latent: int,
        hidden: Sequence[int],
        sigma: float = 1.0,
        beta: float = 1.0,
    ):
        super().__init__()
        require_whole("latent", latent)
        require_widths("hidden", hidden)
        require_positive("sigma", sigma)
        require_positive("beta", beta)
        n = dimensions(event_shape)
        self.data_scale = DataScale(event_shape, levels)
        self.encoder = mlp(n, hidden, 2 * latent)
        self.decoder = mlp(latent, hidden[::-1], n)
        self.latent = latent
        self.sigma = sigma
        self.beta = beta

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("vae", self, self.loss),)

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Standardise continuous data."""
        self.data_scale.fit(x)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """distortion + beta rate, in nats of the data as stored, with one draw of z and the KL in closed form.

        nats            -ELBO: the bound at beta = 1, whatever beta is trained with
        rate_nats       KL(q(z|y) || p(z))
        distortion_mse  |y - f(z)|^2 / n, in network units
        """
        y = self.data_scale(x, noise).flatten(1)
        mu, log_var = self._posterior(y)
        z = mu + (0.5 * log_var).exp() * noise.normal("posterior", mu.shape, like=y)
        f = self.decoder(z)
        distortion = -gaussian_log_density(y, f, 2 * math.log(self.sigma)).mean() - self.data_scale.log_det()
        rate = kl_to_standard_normal(mu, log_var).mean()
        terms = {"nats": distortion + rate, "rate_nats": rate, "distortion_mse": (y - f).square().mean()}
        return Loss(distortion + self.beta * rate, terms)

    def elbo(self, x: Float[Tensor, "batch *event"], noise: Noise, samples: int = 1) -> Float[Tensor, " batch"]:
        """log 1/K sum_k w_k, w_k = p(y|z_k) p(z_k) / q(z_k|y), z_k ~ q (Burda, Grosse and Salakhutdinov, 2016).

        At K = 1 it is the ELBO in expectation over the noise. The log-ratio is sampled there too, not the KL
        in closed form: so one formula serves all K, and where q is the posterior every single draw is log p.
        """
        y = self.data_scale(x, noise).flatten(1)
        mu, log_var = (moment[:, None] for moment in self._posterior(y))
        draws = noise.normal("posterior", (len(y), samples, self.latent), like=y)
        log_weights = []
        for epsilon in draws.split(SAMPLES_AT_ONCE, dim=1):
            z = mu + (0.5 * log_var).exp() * epsilon
            log_likelihood = gaussian_log_density(y[:, None], self.decoder(z), 2 * math.log(self.sigma))
            log_weights.append(
                log_likelihood + gaussian_log_density(z, 0.0, 0.0) - gaussian_log_density(z, mu, log_var)
            )
        bound = torch.logsumexp(torch.cat(log_weights, dim=1), dim=1) - math.log(samples)
        return bound + self.data_scale.log_det()

    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """mu(y), the posterior mean."""
        mu, _ = self._posterior(self.data_scale.centre(x).flatten(1))
        return mu

    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        """f(z), the mean of p(x|z), as stored; between the levels, if the data are on levels."""
        return self.data_scale.uncentre(self.decoder(z).unflatten(1, self.data_scale.event_shape))

    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """f(mu(x)), as stored."""
        return self.decode(self.encode(x))

    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draws of x ~ p(x|z), z ~ p(z): with the decoder's noise, of which sigma says how much."""
        like = self.data_scale.scale
        f = self.decoder(noise.normal("prior", (n, self.latent), like=like))
        y = f + self.sigma * noise.normal("likelihood", f.shape, like=like)
        return self.data_scale.quantise(y.unflatten(1, self.data_scale.event_shape))

    def _posterior(self, y: Float[Tensor, "batch dim"]) -> tuple[Tensor, Tensor]:
        """(mu, log_var) of q(z|y), log_var within +-MAX_LOG_VAR and of slope 1 at 0."""
        mu, raw = self.encoder(y).chunk(2, dim=1)
        return mu, MAX_LOG_VAR * torch.tanh(raw / MAX_LOG_VAR)


def gaussian_log_density(y: Tensor, mean: Tensor | float, log_var: Tensor | float) -> Tensor:
    """log N(y; mean, diag exp log_var), summed over the last axis.

    -1/2 sum [(y - mean)^2 / exp log_var + log_var + log(2 pi)].
    """
    log_var = torch.as_tensor(log_var, dtype=y.dtype, device=y.device)
    return -0.5 * ((y - mean).square() * (-log_var).exp() + log_var + math.log(2 * math.pi)).sum(dim=-1)


def kl_to_standard_normal(
    mu: Float[Tensor, "batch latent"], log_var: Float[Tensor, "batch latent"]
) -> Float[Tensor, " batch"]:
    """KL(N(mu, S) || N(0, I)) = 1/2 (tr S + |mu|^2 - d - log det S), S = diag exp log_var."""
    return 0.5 * (log_var.exp() + mu.square() - 1 - log_var).sum(dim=1)
