"""Images of 32x32 pixels that are rendered from known factors (shape, scale, angle, x and y), for disentanglement.

They follow dSprites (Matthey et al., 2017) but are rendered here: 3 shapes x 6 scales x 20 angles x 16 places across
x 16 places down give 92,160 different images. A data set is a random choice of them without repetition. No shape looks
the same after a rotation, so the angle can be told from the image. A grey level is the fraction of its pixel that the
shape covers, times 255, estimated from the signed distance to the shape's outline.
"""

import math

import numpy as np
from jaxtyping import Float

from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays, Factors, require_rows

SIDE = 32
SHAPES = ("triangle", "half_disc", "ell")
SCALES = np.linspace(0.5, 1.0, 6) * 8.5  # the radius of the circle around a shape, in pixels
ANGLES = np.arange(20) * 2 * math.pi / 20
PLACES = 9.0 + np.arange(16) * 14 / 15  # of the shape's middle, in pixels: the largest shape stays inside the image
SIZES = (len(SHAPES), len(SCALES), len(ANGLES), len(PLACES), len(PLACES))
NAMES = ("shape", "scale", "angle", "x", "y")
ROWS_AT_ONCE = 2048


def factors(noise: Noise, *, rows: int) -> Arrays:
    """Return x (rows, 1, 32, 32) uint8 on 256 grey levels, y, the index of the shape in SHAPES, and the factors."""
    require_rows(rows, most=math.prod(SIZES))
    chosen = noise.permutation("factors", math.prod(SIZES))[:rows].numpy()
    shape, scale, angle, across, down = np.unravel_index(chosen, SIZES)
    values = np.stack([shape, SCALES[scale], ANGLES[angle], PLACES[across], PLACES[down]], axis=1)
    x = np.empty((rows, 1, SIDE, SIDE), dtype=np.uint8)
    for start in range(0, rows, ROWS_AT_ONCE):
        x[start : start + ROWS_AT_ONCE, 0] = render(values[start : start + ROWS_AT_ONCE])
    return Arrays(x, shape.astype(np.int64), SHAPES, factors=Factors(NAMES, values.astype(np.float32)))


def render(values: Float[np.ndarray, "rows 5"]) -> np.ndarray:
    """Render images (rows, 32, 32) uint8 from the values of their factors, which are in the order of NAMES.

    A shape is its index in SHAPES, a scale is the radius of the circle around the shape. Lengths are in pixels, angles
    in radians.
    """
    shape, radius, angle, across, down = values.T[..., None, None]
    v, u = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5, indexing="ij")
    u, v = u - across, v - down
    # p and q are coordinates in the shape's own frame, in which the circle around it has radius 1
    p = (u * np.cos(angle) + v * np.sin(angle)) / radius
    q = (-u * np.sin(angle) + v * np.cos(angle)) / radius
    outside = np.select([shape == 0, shape == 1, shape == 2], [_triangle(p, q), _half_disc(p, q), _ell(p, q)])
    return np.rint(255 * np.clip(0.5 - outside * radius, 0, 1)).astype(np.uint8)


def _triangle(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the signed distance to a narrow triangle with its corners on the unit circle.

    It is the largest of the signed distances to the lines of the triangle's sides.
    """
    corners = np.array([0.0, 0.75 * math.pi, -0.75 * math.pi])
    normals = (corners + np.roll(corners, -1)) / 2 + np.array([0.0, math.pi, 0.0])
    depth = np.cos((np.roll(corners, -1) - corners) / 2)
    return np.max([p * math.cos(n) + q * math.sin(n) - abs(d) for n, d in zip(normals, depth, strict=True)], axis=0)


def _half_disc(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(p, q) - 1, -p)


def _ell(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the signed distance to the letter L: an upright bar and a foot to one side."""
    bar = np.maximum(np.abs(p + 0.35) - 0.25, np.abs(q) - 0.75)
    foot = np.maximum(np.abs(p) - 0.6, np.abs(q - 0.55) - 0.2)
    return np.minimum(bar, foot)
