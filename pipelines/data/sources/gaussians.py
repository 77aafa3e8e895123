"""Mixtures of Gaussians on the line and in the plane: draws from them, and their exact log density.

    p(x) = sum_k w_k N(x; mu_k, L_k L_k^T)

Component k has the weight w_k, the mean mu_k and the covariance L_k L_k^T, where L_k is lower triangular.

8gaussians  toy data of the FFJORD experiments (Grathwohl et al., 2019): 8 means on a circle of radius 4/1.414,
            standard deviation s = 0.5/1.414. E log p = -2.832 nats: no model's mean log-likelihood can be higher in
            expectation. (If the components did not overlap, E log p would be -log 8 - log(2 pi e s^2) = -2.838.)
ring8       the 2-D ring of PacGAN (Lin et al., 2018): 8 means on the unit circle, standard deviation 0.01
grid25      the 2-D grid of PacGAN: means on {-4, -2, 0, 2, 4}^2, standard deviation 0.05
gmm_2d      three Gaussians in the plane with equal weights: a round, a long and a slanting one
gmm_1d, bimodal   three and two Gaussians on the line
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import logsumexp

from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays, require_rows

ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Gaussians in d dimensions.

    weights: (K,) w_k, which sum to 1; means: (K, d) mu_k; factors: (K, d, d) L_k
    """

    name: str
    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    def draw(self, noise: Noise, *, rows: int) -> Arrays:
        """Return x (rows, d) float32, and y, the component from which each row was drawn."""
        require_rows(rows)
        like = torch.empty(0, dtype=torch.float64)
        y = noise.categorical(f"{self.name}/component", torch.from_numpy(np.log(self.weights)), rows).numpy()
        e = noise.normal(f"{self.name}/noise", (rows, self.means.shape[1]), like).numpy()
        x = self.means[y] + np.einsum("nij,nj->ni", self.factors[y], e)
        return Arrays(x.astype(np.float32), y, tuple(str(k) for k in range(len(self.weights))))

    def log_density(self, x: Float[np.ndarray, "rows dims"]) -> Float[np.ndarray, " rows"]:
        """Return log p(x) in nats, as float64."""
        blocks = np.split(np.asarray(x, dtype=np.float64), range(ROWS_AT_ONCE, len(x), ROWS_AT_ONCE))
        return np.concatenate([self._log_density(block) for block in blocks])

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(self.factors)
        e = np.einsum("kij,nkj->nki", inverse, x[:, None] - self.means)
        log_scale = np.log(np.diagonal(self.factors, axis1=1, axis2=2)).sum(axis=1)
        log_norm = np.log(self.weights) - log_scale - self.means.shape[1] / 2 * math.log(2 * math.pi)
        return logsumexp(log_norm - (e**2).sum(axis=2) / 2, axis=1)


def _round(name: str, means: np.ndarray, sigma: float) -> Mixture:
    """Return a mixture with equal weights and one standard deviation for all components and directions."""
    k, d = means.shape
    return Mixture(name, np.full(k, 1 / k), means, np.tile(sigma * np.eye(d), (k, 1, 1)))


def _line(name: str, weights: list[float], means: list[float], sigmas: list[float]) -> Mixture:
    return Mixture(name, np.array(weights), np.array(means)[:, None], np.array(sigmas)[:, None, None])


def _circle(radius: float) -> np.ndarray:
    """Return 8 equally spaced points on a circle around the origin, (8, 2)."""
    angle = np.arange(8) * math.pi / 4
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


_FFJORD_SCALE = 1.414  # the number in FFJORD's code, which rounds the root of 2
_GRID = np.arange(-4.0, 5.0, 2.0)

MIXTURES = {
    mixture.name: mixture
    for mixture in (
        _line("gmm_1d", [0.3, 0.5, 0.2], [-3.0, 0.0, 2.5], [0.5, 0.8, 0.3]),
        _line("bimodal", [0.5, 0.5], [-2.0, 2.0], [0.5, 0.5]),
        Mixture(
            "gmm_2d",
            np.full(3, 1 / 3),
            np.array([[-2.0, 0.0], [2.0, -1.0], [0.5, 2.5]]),
            np.array([[[0.6, 0.0], [0.0, 0.6]], [[0.3, 0.0], [0.0, 1.0]], [[0.9, 0.0], [-0.5, 0.3]]]),
        ),
        _round("8gaussians", _circle(4 / _FFJORD_SCALE), 0.5 / _FFJORD_SCALE),
        _round("ring8", _circle(1.0), 0.01),
        _round("grid25", np.stack(np.meshgrid(_GRID, _GRID, indexing="ij"), axis=-1).reshape(-1, 2), 0.05),
    )
}
