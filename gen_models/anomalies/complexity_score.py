"""The score `complexity`, nll(x) - L(x), nats: L the length of the image in a lossless compression without a model.

A likelihood is large for simple images whatever they show, and so is a compressor's: their ratio is what the model has
learned beyond (Serra et al., 2020, "Input complexity and out-of-distribution detection with likelihood-based generative
models"). Of a model without a density, the same of neg_elbo. It misses anomalies that are complex where the data are
simple: noise that no compressor shortens has a large L. Capability: Density or Bound, of images of grey levels.

The compression is PNG's (ISO/IEC 15948): each line is predicted by one of five filters, the one that leaves the
smallest absolute values, and the differences are deflated; or the lines are deflated as they are, if that is shorter.
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
NUMBERS = 2**20  # filtered at once, which needs some 50 bytes for each
NATS_PER_BYTE = 8 * math.log(2)


def length_nats(x: Float[Tensor, "batch channel height width"], levels: int) -> Float[Tensor, " batch"]:
    """Return the length of each image, 8 ln 2 nats for each byte; pixels are rounded to the levels 0 .. levels - 1."""
    whole = x.nan_to_num().round().clamp(0, levels - 1).cpu().numpy().astype(">u2")
    planes = [whole & 255] if levels <= 256 else [whole >> 8, whole & 255]
    lines = np.concatenate(planes, axis=1).astype(np.uint8)  # high bytes, then low bytes
    sizes = [
        min(_deflated(plain), _deflated(differences)) for plain, differences in zip(lines, filtered(lines), strict=True)
    ]
    return torch.tensor(sizes, dtype=x.dtype, device=x.device) * NATS_PER_BYTE


def filtered(lines: np.ndarray) -> np.ndarray:
    """Return lines (batch, planes, height, width + 1) of bytes: the number of the filter, then what it leaves."""
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
    """Compress what the model gives a likelihood: of binary pixels, a draw of black and white that all rows share."""
    levels = grey_levels(asked.setting.levels) or 2
    noise = asked.setting.noise.shared()
    rows = max(1, NUMBERS // math.prod(asked.x.shape[1:]))
    lengths = by_rows(lambda x: length_nats(as_sampled(asked.model, x, noise), levels), asked.x, rows)
    return likelihood(asked) - lengths


COMPLEXITY = Score("complexity", has_likelihood, _complexity, of_images, needs=LIKELIHOODS)
