"""Two interleaved half circles with Gaussian noise, and their exact log density.

The geometry follows the FFJORD experiments (Grathwohl et al., 2019): scikit-learn's two moons with noise 0.1, then
x -> 2x + (-1, -0.2). A point is

    x = 2 (m_c(t) + 0.1 e) + (-1, -0.2),   t ~ U[0, pi],   e ~ N(0, I),
    m_upper(t) = (cos t, sin t),   m_lower(t) = (1 - cos t, 1/2 - sin t),

so p(x) = 1/2 sum_c 1/pi int_0^pi N(x; 2 m_c(t) + (-1, -0.2), 0.2^2 I) dt, one smooth integral for each class.
scikit-learn takes the angles from an even grid; here they are drawn, so that rows are independent. E log p(x) = -2.394
nats (this density, integrated on a grid): no model's test log-likelihood can be higher in expectation.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import logsumexp

from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays, require_rows

CLASSES = ("upper", "lower")
SCALE, SHIFT = 2.0, np.array([-1.0, -0.2])
SIGMA = 0.1 * SCALE
NODES = 256  # nodes of the quadrature over t: 8 for each SIGMA along an arc; 128 nodes give the same 12 digits
ROWS_AT_ONCE = 4096


def two_moons(noise: Noise, *, rows: int) -> Arrays:
    """Return x (rows, 2) float32, and y, 0 for the upper and 1 for the lower moon; the rows alternate between them."""
    require_rows(rows)
    y = np.arange(rows) % 2
    like = torch.empty(0, dtype=torch.float64)
    t = math.pi * noise.uniform("two_moons/angle", (rows,), like).numpy()
    e = noise.normal("two_moons/noise", (rows, 2), like).numpy()
    x = np.where(y[:, None] == 0, _arc(t, 0), _arc(t, 1)) + SIGMA * e
    return Arrays(x.astype(np.float32), y.astype(np.int64), CLASSES)


def log_density(x: Float[np.ndarray, "rows 2"]) -> Float[np.ndarray, " rows"]:
    """Return log p(x) in nats, as float64, by Gauss-Legendre quadrature over the angle."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    t = (nodes + 1) * math.pi / 2
    means = np.concatenate([_arc(t, 0), _arc(t, 1)])
    # the weights on [-1, 1] sum to 2: dividing by 2 gives a mean over t, and again by 2 the mean over the classes
    log_weights = np.tile(np.log(weights / 4), 2) - math.log(2 * math.pi * SIGMA**2)
    blocks = np.split(np.asarray(x, dtype=np.float64), range(ROWS_AT_ONCE, len(x), ROWS_AT_ONCE))
    return np.concatenate([_log_mixture(block, means, log_weights) for block in blocks])


def _log_mixture(x: np.ndarray, means: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    squares = ((x[:, None] - means) ** 2).sum(axis=2)
    return logsumexp(log_weights - squares / (2 * SIGMA**2), axis=1)


def _arc(t: np.ndarray, moon: int) -> np.ndarray:
    """Return the points (n, 2) at the angles t of a moon, scaled and shifted."""
    point = (np.cos(t), np.sin(t)) if moon == 0 else (1 - np.cos(t), 0.5 - np.sin(t))
    return SCALE * np.stack(point, axis=1) + SHIFT
