"""The score `complexity`: nll(x) - L(x) in nats, where L is the length of the image x in a lossless compression.

The score needs a Density or a Bound of images on grey levels; for a model without a density, -ELBO(x) takes the place
of nll(x) = -log p(x). A likelihood is large for simple images whatever they show. A general compressor shortens simple
images too, so the difference keeps what the model has learned beyond simplicity (Serra et al., 2020, "Input complexity
and out-of-distribution detection with likelihood-based generative models"). The score misses anomalies that are more
complex than the data: noise that no compressor shortens has a large L.

The compression is PNG's (ISO/IEC 15948). Each line of the image is predicted by one of five filters, the one that
leaves the smallest absolute differences, and the differences are deflated; or the lines are deflated as they are, if
that is shorter.
"""

import math
import zlib

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.likelihood_scores import LIKELIHOODS, has_likelihood, likelihood
from gen_models.anomalies.reconstruction_scores import of_images
from gen_models.anomalies.score import Asked, Score
from gen_models.evaluating import as_sampled, by_rows
from gen_models.layers.levels import grey_levels

EFFORT = 6  # of zlib; 9 takes twice as long and shortens images of 28x28 by less than 1%
NUMBERS = 2**20  # pixels that are filtered at once, which takes some 50 bytes for each
NATS_PER_BYTE = 8 * math.log(2)


def length_nats(x: Float[Tensor, "batch channel height width"], levels: int) -> Float[Tensor, " batch"]:
    """Return the length L of each image, 8 ln 2 nats for each byte; pixels are rounded to levels 0 .. levels - 1."""
    whole = x.nan_to_num().round().clamp(0, levels - 1).cpu().numpy().astype(">u2")
    planes = [whole & 255] if levels <= 256 else [whole >> 8, whole & 255]
    lines = np.concatenate(planes, axis=1).astype(np.uint8)  # high bytes, then low bytes
    sizes = [
        min(_deflated(plain), _deflated(differences)) for plain, differences in zip(lines, filtered(lines), strict=True)
    ]
    return torch.tensor(sizes, dtype=x.dtype, device=x.device) * NATS_PER_BYTE


def filtered(lines: np.ndarray) -> np.ndarray:
    """Return lines of bytes (batch, planes, height, width) after PNG's filters.

    The result is (batch, planes, height, width + 1): for each line the index of its filter, then the differences.
    """
    x = np.pad(lines.astype(np.int16), ((0, 0), (0, 0), (1, 0), (1, 0)))
    here, left, up, corner = x[..., 1:, 1:], x[..., 1:, :-1], x[..., :-1, 1:], x[..., :-1, :-1]
    by_left, by_up, by_corner = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
    paeth = np.where((by_left <= by_up) & (by_left <= by_corner), left, np.where(by_up <= by_corner, up, corner))
    predicted = np.stack([np.zeros_like(here), left, up, (left + up) // 2, paeth])
    found = (here - predicted).astype(np.uint8)
    costs = np.abs(found.view(np.int8).astype(np.int16)).sum(axis=-1)
    best = costs.argmin(axis=0)
    chosen = np.take_along_axis(found, best[None, ..., None], axis=0)[0]
    return np.concatenate([best[..., None].astype(np.uint8), chosen], axis=-1)


def _deflated(content: np.ndarray) -> int:
    return len(zlib.compress(content.tobytes(), EFFORT))


def _complexity(asked: Asked):
    """Return the score of each row.

    Images are compressed in the form to which the model gives a likelihood: for binary pixels that is a random draw of
    black and white, with the same random numbers for all rows.
    """
    levels = grey_levels(asked.setting.levels) or 2
    noise = asked.setting.noise.shared()
    rows = max(1, NUMBERS // math.prod(asked.x.shape[1:]))
    lengths = by_rows(lambda x: length_nats(as_sampled(asked.model, x, noise), levels), asked.x, rows)
    return likelihood(asked) - lengths


COMPLEXITY = Score("complexity", has_likelihood, _complexity, of_images, needs=LIKELIHOODS)
