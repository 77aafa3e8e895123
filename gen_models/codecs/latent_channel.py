"""The probabilities of a VAE for finitely many symbols, which bits back (bits_back.py) needs.

    latents       each latent lies in one of 2^b bins, which have equal mass under N(0, 1). So all bins are equally
                  likely under the prior; q(bin|x) is a difference of two values of Phi, the normal CDF
    grey levels   with a Gaussian decoder, P(x = k|z) = Phi((e_{k+1} - f(z))/sigma) - Phi((e_k - f(z))/sigma), where f
                  is the decoder's output and e_k the lower edge of level k's cell; the cells of the lowest and the
                  highest level extend to infinity
    binary pixels with a Bernoulli decoder, P(x = 1|z) is its mean

Probabilities are computed in float64. To code, they are computed for one row at a time: a batch of another size would
round its matrix products differently, and compression and decompression must get the same bits.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.errors import DataError

NEEDED = ("data_scale", "encoder", "decoder", "posterior", "likelihood", "latents")


class LatentChannel:
    """The probabilities of a model, with `bins` bins (2^b) for each latent.

    Raises DataError for a model that is no VAE, has several layers of latents, or has data that are not on grey levels.
    A model with a Bernoulli decoder needs data on 2 grey levels.
    """

    def __init__(self, model: Any, bins: int):
        lacking = [name for name in NEEDED if not hasattr(model, name)]
        if lacking:
            raise _cannot(model, f"it has no {lacking[0].replace('_', ' ')}")
        self.model = model  # only its attributes NEEDED and sigma are used
        scale = self.model.data_scale
        if len(self.model.latents) != 1:
            raise _cannot(model, f"its latents are {len(self.model.latents)} layers, of which bits back takes one")
        if scale.levels is None:
            raise _cannot(model, "it was trained on continuous numbers or on a table, which have no finite code")
        if not hasattr(model, "sigma") and scale.levels != 2:
            raise _cannot(model, f"its pixels are binary, and the data have {scale.levels} levels")
        self.latents: int = self.model.latents[0]
        self.levels: int = scale.levels
        self.event_shape: tuple[int, ...] = scale.event_shape
        self._edges = torch.special.ndtri(torch.linspace(0, 1, bins + 1, dtype=torch.float64))
        self._middles = torch.special.ndtri((torch.arange(bins, dtype=torch.float64) + 0.5) / bins)

    def moments(self, x: Float[Tensor, "batch *event"]) -> tuple[Tensor, Tensor]:
        """Return (mu, std) of q(z|x), each (batch, latents), for rows x in the data's units.

        The encoder sees the middle of each grey level's cell.
        """
        mu, log_var = self.model.posterior(self.model.data_scale.centre(x).flatten(1))
        return mu.double(), (0.5 * log_var.double()).exp()

    def posterior(self, x: Float[Tensor, " dim"]) -> Float[np.ndarray, "latents bins"]:
        """Return q(bin|x) for each latent of one row x, in the data's units."""
        mu, std = self.moments(x.view(1, *self.event_shape))
        edges = (self._edges - mu[0, :, None]) / std[0, :, None]
        return interval_mass(edges[:, :-1], edges[:, 1:]).numpy()

    def level_probabilities(self, bins: Int[np.ndarray, " latents"]) -> Float[np.ndarray, "dim levels"]:
        """Return P(x_j = k|z) for each number j of a row and grey level k, where z are the middles of the bins.

        bins  the index of the bin of each latent
        """
        return self.level_masses(self._middles[torch.from_numpy(bins.astype(np.int64))][None])[0].numpy()

    def level_masses(self, z: Float[Tensor, "batch latents"]) -> Float[Tensor, "batch dim levels"]:
        """Return P(x_j = k|z) for each latent vector z, number j of a row and grey level k."""
        scale = self.model.data_scale
        f = self.model.decoder(z.to(scale.scale.dtype))
        if not hasattr(self.model, "sigma"):
            mean = self.model.likelihood.mean(f).double()[..., None]
            return torch.cat([1 - mean, mean], dim=-1)
        inner = torch.arange(1, self.levels, dtype=torch.float64)
        edges = (inner - scale.shift.double().flatten()[:, None]) / scale.scale.double().flatten()[:, None]
        sigma = torch.as_tensor(self.model.sigma, dtype=torch.float64).reshape(-1, 1)
        edges = F.pad((edges - f.double()[..., None]) / sigma, (1, 0), value=-torch.inf)
        edges = F.pad(edges, (0, 1), value=torch.inf)
        return interval_mass(edges[..., :-1], edges[..., 1:])

    def masses_at(self, z: Float[Tensor, "batch latents"], x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return P(x_j|z) for the grey level x_j of each number, without the probabilities of its other grey levels."""
        scale = self.model.data_scale
        f = self.model.decoder(z.to(scale.scale.dtype))
        if not hasattr(self.model, "sigma"):
            mean = self.model.likelihood.mean(f).double()
            return torch.where(x > 0, mean, 1 - mean)
        sigma = torch.as_tensor(self.model.sigma, dtype=torch.float64).flatten()
        lower = ((x.double() - scale.shift.double().flatten()) / scale.scale.double().flatten() - f.double()) / sigma
        upper = (
            (x.double() + 1 - scale.shift.double().flatten()) / scale.scale.double().flatten() - f.double()
        ) / sigma
        lower = lower.masked_fill(x == 0, -torch.inf)
        return interval_mass(lower, upper.masked_fill(x == self.levels - 1, torch.inf))


def interval_mass(lower: Float[Tensor, "*shape"], upper: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return Phi(upper) - Phi(lower), computed in the smaller tail of the normal distribution, to lose no digits."""
    return torch.where(lower > 0, _below(-lower) - _below(-upper), _below(upper) - _below(lower))


def _below(x: Tensor) -> Tensor:
    """Return Phi(x) = erfc(-x/sqrt 2)/2. Not torch.special.ndtr: its (1 + erf)/2 rounds small values of Phi to 0."""
    return 0.5 * torch.special.erfc(-x / math.sqrt(2))


def _cannot(model: nn.Module, why: str) -> DataError:
    return DataError(
        f"{type(model).__name__} cannot compress without loss: {why}; use a VAE of data on levels, or --method latents"
    )
