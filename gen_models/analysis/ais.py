"""Annealed importance sampling of log p(y) (Neal, 2001): it evaluates decoders without an encoder (Wu et al., 2017).

y is a row in network units. For each row, several chains of latents z_0, ..., z_T walk from the prior to the posterior.
On the way lie T distributions f_t(z) = p(z) p(y|z)^b_t, with 0 = b_0 < ... < b_T = 1, and a chain gets the weight

    log w = sum_t (b_t - b_{t-1}) log p(y|z_{t-1}),   z_t ~ a transition that leaves f_t invariant,   E w = p(y)

So the log of the mean of w over chains is, in expectation, a lower bound on log p(y), like the importance-weighted
bound. Transitions are Hamiltonian Monte Carlo (Neal, 2011, section 2). A pilot run finds the step sizes, which are then
fixed: a step size that adapts to the chain that it moves would leave no distribution invariant.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.analysis.inference import observed
from gen_models.autoencoders.gaussian import gaussian_log_density
from gen_models.autoencoders.latent_variable import LatentVariableModel, importance_bound
from gen_models.evaluating import evaluation_mode
from gen_models.layers.arguments import require_whole
from gen_models.noise import Noise

STEEPNESS = 4.0  # steepness of the sigmoid path: most temperatures lie near both ends (Wu et al., 2017, section 4)
FIRST_STEP = 0.2
ACCEPTED = 0.65  # the acceptance rate that the pilot run aims at: the best in high dimensions (Neal, 2011, section 4.4)
GAIN = 0.5  # the pilot changes its log step size by GAIN (accepted - ACCEPTED)

Target = Callable[[Tensor], tuple[Tensor, Tensor]]  # z -> (log p(z), log p(y|z)), (batch, chains) each


class Annealed(NamedTuple):
    """The result of `annealed_evidence` for each row.

    log_p     the estimate of log p(x) in nats, for x in the data's units
    accepted  the fraction of accepted moves, over temperatures and chains; near 0, the chains stand still
    """

    log_p: Float[Tensor, " batch"]
    accepted: Float[Tensor, " batch"]


def annealed_evidence(
    model: LatentVariableModel,
    x: Float[Tensor, "batch *event"],
    noise: Noise,
    *,
    temperatures: int = 200,
    chains: int = 16,
    leapfrogs: int = 10,
) -> Annealed:
    """Estimate log p(x) of each row, for a model with one layer of latents.

    temperatures  T, the number of moves of each chain
    chains        how many chains are averaged for each row
    leapfrogs     leapfrog steps in each move

    Raises ConfigError if the model has more than one layer of latents.
    """
    for key, value in {"temperatures": temperatures, "chains": chains, "leapfrogs": leapfrogs}.items():
        require_whole(key, value)
    with evaluation_mode(model):
        return _annealed(model, x, noise, temperatures, chains, leapfrogs)


def _annealed(
    model: LatentVariableModel,
    x: Float[Tensor, "batch *event"],
    noise: Noise,
    temperatures: int,
    chains: int,
    leapfrogs: int,
) -> Annealed:
    y = observed(model, x, noise)

    def target(z: Tensor) -> tuple[Tensor, Tensor]:
        return gaussian_log_density(z, 0.0, 0.0), model.log_likelihood(y, z)

    shape = (len(y), chains, model.latents[0])
    path = sigmoid_path(temperatures).to(y)
    sizes = y.new_full((temperatures, len(y)), FIRST_STEP)
    sizes, *_ = _walk(target, shape, path, sizes, leapfrogs, noise, "ais.pilot", y, is_pilot=True)
    _, log_weights, accepted = _walk(target, shape, path, sizes, leapfrogs, noise, "ais", y, is_pilot=False)
    return Annealed(importance_bound(log_weights) + model.data_scale.log_det().detach(), accepted)


def sigmoid_path(temperatures: int) -> Float[Tensor, " points"]:
    """Return b_0 = 0, ..., b_T = 1, spaced by a sigmoid; T is `temperatures`."""
    t = torch.sigmoid(STEEPNESS * torch.linspace(-1, 1, temperatures + 1, dtype=torch.float64))
    return (t - t[0]) / (t[-1] - t[0])


def hamiltonian_step(
    z: Float[Tensor, "batch chains latent"],
    log_density: Callable[[Tensor], Tensor],
    sizes: Float[Tensor, " batch"],
    momentum: Float[Tensor, "batch chains latent"],
    uniform: Float[Tensor, "batch chains"],
    leapfrogs: int,
) -> tuple[Tensor, Tensor]:
    """Make one Hamiltonian move of each chain, which leaves exp log_density invariant.

    sizes      the leapfrog step size for each row
    momentum   standard normal draws
    uniform    draws from [0, 1) that decide which moves are accepted
    leapfrogs  leapfrog steps in the move

    Return (the new z, whether each chain's move was accepted). A move that overflows is not accepted.
    """
    step = sizes[:, None, None]
    start, slope = _with_slope(log_density, z)
    moved, p, end = z, momentum, start
    for _ in range(leapfrogs):
        p = p + 0.5 * step * slope
        moved = moved + step * p
        end, slope = _with_slope(log_density, moved)
        p = p + 0.5 * step * slope
    log_ratio = end - start - 0.5 * (p.square() - momentum.square()).sum(dim=2)
    is_accepted = uniform.log() < log_ratio
    return torch.where(is_accepted[:, :, None], moved, z), is_accepted


def _walk(
    target: Target,
    shape: tuple[int, int, int],
    path: Tensor,
    sizes: Tensor,
    leapfrogs: int,
    noise: Noise,
    name: str,
    like: Tensor,
    *,
    is_pilot: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Move chains from the prior to the posterior; return (step sizes, log w, fraction of accepted moves).

    In a pilot run the step sizes adapt, from sizes[0] on; else each move t uses sizes[t - 1].
    """
    z = noise.normal(f"{name}.prior", shape, like=like)
    log_weights, accepted, log_size = like.new_zeros(shape[:2]), like.new_zeros(shape[0]), sizes[0].log()
    used = []
    for t in range(1, len(path)):
        with torch.no_grad():
            log_weights += (path[t] - path[t - 1]) * target(z)[1]
        size = log_size.exp() if is_pilot else sizes[t - 1]
        momentum = noise.normal(f"{name}.momentum.{t}", shape, like=like)
        uniform = noise.uniform(f"{name}.accept.{t}", shape[:2], like=like)
        z, is_accepted = hamiltonian_step(z, _tempered(target, path[t]), size, momentum, uniform, leapfrogs)
        share = is_accepted.to(like.dtype).mean(dim=1)
        log_size = log_size + GAIN * (share - ACCEPTED)
        accepted += share / (len(path) - 1)
        used.append(size)
    return torch.stack(used), log_weights, accepted


def _tempered(target: Target, b: Tensor) -> Callable[[Tensor], Tensor]:
    def log_density(z: Tensor) -> Tensor:
        log_prior, log_likelihood = target(z)
        return log_prior + b * log_likelihood

    return log_density


def _with_slope(log_density: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        values = log_density(z)
        (slope,) = torch.autograd.grad(values.sum(), z)
    return values.detach(), slope
