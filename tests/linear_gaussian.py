"""The model whose every number is known: z ~ N(0, I), y|z ~ N(Wz + b, sigma^2 I), a VAE of linear networks."""

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from gen_models.autoencoders.gaussian import MAX_LOG_VAR
from gen_models.autoencoders.vae import VAE


def normal(*shape: int, seed: int = 6) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear_vae(W: Tensor, sigma: float = 0.6) -> VAE:
    """Continuous data without a change of units; the encoder says N(0, I) until `set_encoder`."""
    n, r = W.shape
    model = VAE([n], None, latent=r, hidden=[], sigma=sigma).double().eval()
    with torch.no_grad():
        model.decoder[0].weight.copy_(W)
        model.decoder[0].bias.copy_(normal(n, seed=12))
        for parameter in model.encoder.parameters():
            parameter.zero_()
    return model


def set_encoder(model: VAE, to_mu: Tensor, variance: Tensor) -> None:
    """mu = to_mu (y - b), and these variances whatever y."""
    raw = MAX_LOG_VAR * torch.atanh(variance.log() / MAX_LOG_VAR)
    with torch.no_grad():
        model.encoder[0].weight.copy_(torch.cat([to_mu, torch.zeros_like(to_mu)]))
        model.encoder[0].bias.copy_(torch.cat([-to_mu @ model.decoder[0].bias, raw]))


def pieces(model: VAE) -> tuple[Tensor, Tensor, float]:
    return model.decoder[0].weight.detach(), model.decoder[0].bias.detach(), model.likelihood.sigma**2


def exact_evidence(model: VAE) -> MultivariateNormal:
    """N(b, W W' + sigma^2 I)."""
    W, b, v = pieces(model)
    return MultivariateNormal(b, W @ W.T + v * torch.eye(len(b), dtype=W.dtype))


def exact_posterior(model: VAE, y: Tensor) -> MultivariateNormal:
    """N(P^-1 W'(y - b)/sigma^2, P^-1), P = I + W'W/sigma^2."""
    W, b, v = pieces(model)
    precision = torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / v
    mean = torch.linalg.solve(precision, W.T @ (y - b).T / v).T
    return MultivariateNormal(mean, precision_matrix=precision)
