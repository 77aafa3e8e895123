"""Diagonal Gaussians: the distribution of a VAE's latents, and of rows given latents for some of its decoders."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

MAX_LOG_VAR = 10.0  # standard deviations of latents stay within e^-5 .. e^5


def mean_and_log_var(output: Float[Tensor, "*batch twice"]) -> tuple[Tensor, Tensor]:
    """Split a network's output into halves, mu and raw, and return (mu, log_var = MAX_LOG_VAR tanh(raw/MAX_LOG_VAR)).

    The tanh keeps log_var within +-MAX_LOG_VAR, and changes values of raw near 0 little.
    """
    mu, raw = output.chunk(2, dim=-1)
    return mu, MAX_LOG_VAR * torch.tanh(raw / MAX_LOG_VAR)


def gaussian_log_density(y: Tensor, mean: Tensor | float, log_var: Tensor | float) -> Tensor:
    """Return log N(y; mean, diag exp log_var), summed over the last axis.

    The value is -1/2 sum [(y - mean)^2 / exp log_var + log_var + log(2 pi)].
    """
    if isinstance(log_var, float):  # summed first: one number a row is left for what follows
        squares = (y - mean).square().sum(dim=-1)
        return -0.5 * math.exp(-log_var) * squares - 0.5 * y.shape[-1] * (log_var + math.log(2 * math.pi))
    return -0.5 * ((y - mean).square() * (-log_var).exp() + log_var + math.log(2 * math.pi)).sum(dim=-1)


def kl_to_standard_normal(
    mu: Float[Tensor, "batch latent"], log_var: Float[Tensor, "batch latent"]
) -> Float[Tensor, " batch"]:
    """Return KL(N(mu, S) || N(0, I)) = 1/2 (tr S + |mu|^2 - d - log det S), S = diag exp log_var, for d latents."""
    return kl_by_dimension(mu, log_var).sum(dim=1)


def kl_by_dimension(
    mu: Float[Tensor, "batch latent"], log_var: Float[Tensor, "batch latent"]
) -> Float[Tensor, "batch latent"]:
    """Return KL(N(mu_j, exp log_var_j) || N(0, 1)) for each latent j; the sum over j is `kl_to_standard_normal`."""
    return 0.5 * (log_var.exp() + mu.square() - 1 - log_var)
