"""Estimates of log p(y) by importance sampling with any q, and the cost of amortised inference.

    p(y) = E_{z ~ q} w(z),   w = p(y|z) p(z) / q(z),   for any q that covers p(z|y)

y is a row in network units, z its latents. The variance of w says how good q is. With the prior as q it grows
exponentially with the dimension; with the posterior it is 0. KL(q || p(z|y)) = log p(y) - ELBO(q), so the ELBO of a row
is highest at the q nearest to its posterior, and

    log p(y) - ELBO(encoder's q)  =  [log p(y) - ELBO(best q)]  +  [ELBO(best q) - ELBO(encoder's q)]
                                     approximation gap             amortisation gap

(Cremer, Li and Duvenaud, 2018). Adam finds the best diagonal Gaussian q for each row; a batch is a set of independent
problems. All functions here need a model with one layer of latents. Where data are dequantised or binarised, y is drawn
at random from the row x with the argument `noise`, so the same noise gives the same y.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.autoencoders.gaussian import gaussian_log_density, kl_to_standard_normal
from gen_models.autoencoders.latent_variable import (
    LatentVariableModel,
    Moments,
    importance_bound,
    in_pieces,
    reparameterised,
)
from gen_models.errors import ConfigError
from gen_models.noise import Noise

# From N(0, I) the first gradients are huge, and Adam's usual average over 1000 steps would remember them: with 64
# dimensions, 16 latents and sigma = 0.1 the fit then ends 2500 nats below the best q; with these settings, 0.1 nats.
STEPS, RATE, BETAS = 800, 0.1, (0.9, 0.95)
CHECK_DRAWS = 64


class Evidence(NamedTuple):
    """An estimate of log p(x) for each row, made from K weights; x is in the data's units.

    log_p              log 1/K sum_k w_k, with w_k converted to the data's units
    relative_variance  Var w / (E w)^2 of one weight, K times as large as for the estimate of p(x); nan for K = 1
    """

    log_p: Float[Tensor, " batch"]
    relative_variance: Float[Tensor, " batch"]


class Gaps(NamedTuple):
    """The two gaps of each row, in nats.

    amortisation   ELBO(best q) - ELBO(encoder's q)
    approximation  log p(x) - ELBO(best q)
    """

    amortisation: Float[Tensor, " batch"]
    approximation: Float[Tensor, " batch"]


@torch.no_grad()
def evidence(
    model: LatentVariableModel, x: Float[Tensor, "batch *event"], q: Moments, noise: Noise, *, samples: int
) -> Evidence:
    """Estimate log p(x) from `samples` draws of q = N(mu, diag exp log_var) for each row.

    q  (mu, log_var) from `prior_q`, `encoder_q` or `fit_q`
    """
    y = observed(model, x, noise)
    mu, log_var = (moment[:, None] for moment in q)
    log_weights = []
    draws = noise.normal("importance", (len(y), samples, mu.shape[-1]), like=y)
    for epsilon in in_pieces(draws):
        z = reparameterised((mu, log_var), epsilon)
        log_weights.append(model.log_joint(y, [z]) - gaussian_log_density(z, mu, log_var))
    log_w = torch.cat(log_weights, dim=1)
    bound = importance_bound(log_w)
    spread = (log_w - bound[:, None]).exp().var(dim=1) if samples > 1 else torch.full_like(bound, math.nan)
    return Evidence(bound + model.data_scale.log_det(), spread)


def observed(model: LatentVariableModel, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch dim"]:
    """Return y, the rows x in network units, flattened; `noise` dequantises or binarises data on grey levels.

    Raises ConfigError for a model with more than one layer of latents.
    """
    if len(model.latents) != 1:
        raise ConfigError(f"latents = {list(model.latents)}: inference for single rows is for one layer of latents")
    return model.data_scale(x, noise).flatten(1)


@torch.no_grad()
def prior_q(model: LatentVariableModel, x: Float[Tensor, "batch *event"]) -> Moments:
    """Return (mu, log_var) of the prior N(0, I), once for each row."""
    zeros = torch.zeros(len(x), model.latents[0]).to(model.data_scale.scale)  # x may be float64 where the model is not
    return zeros, zeros.clone()


@torch.no_grad()
def encoder_q(model: LatentVariableModel, x: Float[Tensor, "batch *event"], noise: Noise) -> Moments:
    """Return (mu, log_var) of the encoder's q(z|y) for each row."""
    return model.posterior(observed(model, x, noise))


def fit_q(
    model: LatentVariableModel,
    x: Float[Tensor, "batch *event"],
    start: Moments,
    noise: Noise,
    *,
    steps: int = STEPS,
    rate: float = RATE,
    samples: int = 8,
) -> Moments:
    """Return (mu, log_var) of the Gaussian q with the highest ELBO for each row.

    Adam moves (mu, log_var), with a rate that falls to 0 as a cosine. The step of each number depends on the gradients
    of this number only, so a row's result does not depend on the other rows. If the noise gives all rows the same
    draws, the result does not depend on the row's place in the batch either. If the ELBO of a row, on CHECK_DRAWS draws
    of z, is not higher after the fit than at the start, the row keeps its start.

    start        (mu, log_var) from `encoder_q`, or from `prior_q` to start from scratch
    steps, rate  steps of Adam, and its first rate
    samples      draws of z for each row and step
    """
    y = observed(model, x, noise)
    mu, log_var = (moment.detach().clone().requires_grad_() for moment in start)
    optimiser = torch.optim.Adam([mu, log_var], lr=rate, betas=BETAS, foreach=False)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        optimiser.zero_grad()
        epsilon = noise.normal(f"fit_q.{step}", (len(y), samples, mu.shape[1]), like=y)
        with torch.enable_grad():
            (-_elbo(model, y, (mu, log_var), epsilon).sum()).backward(inputs=[mu, log_var])
        optimiser.step()
        falling.step()
    check = noise.normal("fit_q.check", (len(y), CHECK_DRAWS, mu.shape[1]), like=y)
    with torch.no_grad():
        is_better = (_elbo(model, y, (mu, log_var), check) > _elbo(model, y, start, check))[:, None]
    return torch.where(is_better, mu.detach(), start[0]), torch.where(is_better, log_var.detach(), start[1])


@torch.no_grad()
def elbo_of(
    model: LatentVariableModel, x: Float[Tensor, "batch *event"], q: Moments, noise: Noise, *, samples: int = 256
) -> Float[Tensor, " batch"]:
    """Return E_q log p(x|z) - KL(q || p(z)) of each row in nats, for x in the data's units.

    E_q is a mean over `samples` draws of z; the KL is exact.
    """
    y = observed(model, x, noise)
    epsilon = noise.normal("elbo_of", (len(y), samples, model.latents[0]), like=y)
    return _elbo(model, y, q, epsilon) + model.data_scale.log_det()


def gaps(
    model: LatentVariableModel,
    x: Float[Tensor, "batch *event"],
    log_p: Float[Tensor, " batch"],
    noise: Noise,
    *,
    steps: int = STEPS,
    rate: float = RATE,
    samples: int = 256,
) -> Gaps:
    """Return the two parts of log p(x) - ELBO(encoder's q) for each row.

    log_p  estimates of log p(x), made with the same noise by `evidence` or `ais.annealed_evidence`

    The other arguments are those of `fit_q` and `elbo_of`. The fit starts at the encoder's q. If it ends with a lower
    ELBO on the same draws, the encoder's q counts as the best, so the amortisation gap is never below 0. If log_p is
    too low, as a lower bound is, the approximation gap is too low by the same amount.
    """
    start = encoder_q(model, x, noise)
    before = elbo_of(model, x, start, noise, samples=samples)
    after = elbo_of(model, x, fit_q(model, x, start, noise, steps=steps, rate=rate), noise, samples=samples)
    best = torch.maximum(before, after)
    return Gaps(best - before, log_p - best)


def _elbo(model: LatentVariableModel, y: Tensor, q: Moments, epsilon: Tensor) -> Float[Tensor, " batch"]:
    mu, log_var = q
    log_likelihoods = [
        model.log_likelihood(y, reparameterised((mu[:, None], log_var[:, None]), piece)) for piece in in_pieces(epsilon)
    ]
    return torch.cat(log_likelihoods, dim=1).mean(dim=1) - kl_to_standard_normal(mu, log_var)
