"""Toy data in the plane from the FFJORD experiments (Grathwohl et al., 2019); angles are drawn, not taken from a grid.

e, e1 and e2 are standard Gaussian, k is a ring or an arm drawn uniformly, and I0 is a modified Bessel function.

checkerboard  uniform on 8 of the 16 squares of side 2 on [-4, 4]^2: log p = -log 32 = -3.466 nats there
rings         x = R_k (cos t, sin t) + s e, s = 0.08, R = 3/4, 3/2, 9/4, 3, t ~ U[0, 2 pi]. With r = |x|,
              p(x) = 1/4 sum_k exp(-(r - R_k)^2 / 2s^2) I0e(r R_k / s^2) / (2 pi s^2), I0e(z) = exp(-z) I0(z)
pinwheel      the point (a, b) = (1 + 0.3 e1, 0.1 e2), turned by 2 pi k / 5 + exp(a) / 4 and doubled. Far from the
              origin the turn folds the plane, so the density has no closed form, and none is given
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import i0e, logsumexp

from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays, require_rows

SQUARES = np.array([(i, j) for i in range(-2, 2) for j in range(-2, 2) if (i + j) % 2 == 0], dtype=np.float64)
EDGE = 1e-6  # a row may lie this far outside a square, because float32 rounds draws onto and over the edges
RADII, RING_SIGMA = np.array([0.75, 1.5, 2.25, 3.0]), 0.08
ARMS, RADIAL, TANGENTIAL, RATE = 5, 0.3, 0.1, 0.25
LIKE = torch.empty(0, dtype=torch.float64)


def checkerboard(noise: Noise, *, rows: int) -> Arrays:
    """Return x (rows, 2) float32, without labels."""
    require_rows(rows)
    square = noise.categorical("checkerboard/square", torch.zeros(len(SQUARES), dtype=torch.float64), rows).numpy()
    u = noise.uniform("checkerboard/place", (rows, 2), LIKE).numpy()
    return Arrays((2 * (SQUARES[square] + u)).astype(np.float32), None, ())


def checkerboard_log_density(x: Float[np.ndarray, "rows 2"]) -> Float[np.ndarray, " rows"]:
    """Return log p(x) in nats: -log 32 on the squares, minus infinity elsewhere."""
    u = np.asarray(x, dtype=np.float64)[:, None] / 2 - SQUARES
    is_inside = np.any(np.all((u >= -EDGE) & (u <= 1 + EDGE), axis=2), axis=1)
    return np.where(is_inside, -math.log(4 * len(SQUARES)), -np.inf)


def rings(noise: Noise, *, rows: int) -> Arrays:
    """Return x (rows, 2) float32, and y, the ring, counted from the innermost."""
    require_rows(rows)
    y = noise.categorical("rings/ring", torch.zeros(len(RADII), dtype=torch.float64), rows).numpy()
    t = 2 * math.pi * noise.uniform("rings/angle", (rows,), LIKE).numpy()
    e = noise.normal("rings/noise", (rows, 2), LIKE).numpy()
    x = RADII[y, None] * np.stack([np.cos(t), np.sin(t)], axis=1) + RING_SIGMA * e
    return Arrays(x.astype(np.float32), y, tuple(str(k) for k in range(len(RADII))))


def rings_log_density(x: Float[np.ndarray, "rows 2"]) -> Float[np.ndarray, " rows"]:
    """Return log p(x) in nats. The integral over the angle has a closed form, which the module's docstring gives."""
    r = np.linalg.norm(np.asarray(x, dtype=np.float64), axis=1)[:, None]
    variance = RING_SIGMA**2
    log_ring = -((r - RADII) ** 2) / (2 * variance) + np.log(i0e(r * RADII / variance))
    return logsumexp(log_ring, axis=1) - math.log(2 * math.pi * variance * len(RADII))


def pinwheel(noise: Noise, *, rows: int) -> Arrays:
    """Return x (rows, 2) float32, and y, the arm, 0 .. 4."""
    require_rows(rows)
    y = noise.categorical("pinwheel/arm", torch.zeros(ARMS, dtype=torch.float64), rows).numpy()
    e = noise.normal("pinwheel/noise", (rows, 2), LIKE).numpy()
    a, b = 1 + RADIAL * e[:, 0], TANGENTIAL * e[:, 1]
    angle = 2 * math.pi * y / ARMS + RATE * np.exp(a)
    # a row vector times [[cos, -sin], [sin, cos]], as in FFJORD's code
    x = 2 * np.stack([a * np.cos(angle) + b * np.sin(angle), -a * np.sin(angle) + b * np.cos(angle)], axis=1)
    return Arrays(x.astype(np.float32), y, tuple(str(k) for k in range(ARMS)))
