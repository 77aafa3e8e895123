"""One-dimensional data on [0, 1] with known densities, on which one-dimensional flows are tested.

Outside [0, 1] both densities are 0. The density of Beta(5, 5) is also 0 at 0 and at 1. Where a density is 0, the log
density is minus infinity.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import betaln, xlog1py, xlogy

from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays, require_rows

ALPHA = 5


def uniform(noise: Noise, *, rows: int) -> Arrays:
    """Return x (rows, 1) float32, uniform on [0, 1], without labels."""
    require_rows(rows)
    u = noise.uniform("uniform", (rows, 1), torch.empty(0, dtype=torch.float64)).numpy()
    return Arrays(u.astype(np.float32), None, ())


def uniform_log_density(x: Float[np.ndarray, "rows 1"]) -> Float[np.ndarray, " rows"]:
    """Return log p(x) in nats: 0 on [0, 1], minus infinity elsewhere."""
    return np.where((x[:, 0] >= 0) & (x[:, 0] <= 1), 0.0, -np.inf)


def beta_5_5(noise: Noise, *, rows: int) -> Arrays:
    """Return x (rows, 1) float32 from Beta(5, 5), the distribution of the median of 9 uniform draws; no labels."""
    require_rows(rows)
    u = noise.uniform("beta_5_5", (rows, 2 * ALPHA - 1), torch.empty(0, dtype=torch.float64)).numpy()
    return Arrays(np.median(u, axis=1, keepdims=True).astype(np.float32), None, ())


def beta_5_5_log_density(x: Float[np.ndarray, "rows 1"]) -> Float[np.ndarray, " rows"]:
    """Return log p(x) in nats: 4 log x + 4 log(1 - x) - log B(5, 5) on [0, 1], minus infinity elsewhere."""
    v = np.asarray(x[:, 0], dtype=np.float64)
    inside = (v >= 0) & (v <= 1)
    safe = np.where(inside, v, 0.5)
    return np.where(inside, xlogy(ALPHA - 1, safe) + xlog1py(ALPHA - 1, -safe) - betaln(ALPHA, ALPHA), -np.inf)
