"""Anomaly scores as functions of capabilities; a larger score always means more anomalous.

    nll                 -log p(x), nats                                                    Density
    neg_elbo            -ELBO(x), nats, with draws that all rows share                     Bound
    reconstruction      s(X) = |X - D(E(X))|^2 on the unit scale, summed over dimensions   Reconstructor
    blurred             |g * (X - D(E(X)))|^2, g a Gaussian of 1 pixel: for images     Reconstructor
    critic              -critic(x)                                                         Critic
    latent_mahalanobis  (z - m)' C^+ (z - m), m and C of the training rows' latents        Encoder, unless its
                        latents are the responsibilities of a mixture
    inversion           min_z |G(z) - y|, network units: a search for each row, so     Game, by `inversion`
                        computed separately, where rows are few

s(X) is that of Sakurada and Yairi (2014). An edge that is reconstructed half a pixel aside costs as much as a missing
stroke; under the blur the excess on one side of the edge cancels the lack on the other. The score of a row is a
function of that row alone, not of its neighbours in the batch or of the batch's size. The conformal p-value turns any
score into a test of known level.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

from gen_models.adversarial.game import Game
from gen_models.analysis.inversion import invert
from gen_models.contracts import Bound, Critic, Density, Encoder, Reconstructor
from gen_models.errors import DataError
from gen_models.evaluating import by_rows, elbo, evaluating
from gen_models.layers.levels import Levels, grey_levels
from gen_models.measures.units import unit_scale
from gen_models.noise import Noise

Scorer = Callable[[Float[Tensor, "batch *event"]], Float[Tensor, " batch"]]

NOISE = Noise(seed=0)
SEARCH_ROWS = 256  # rows whose searches go through a generator at once, each with all of its starts
IMAGE_AXES = 4  # rows, channels, height, width
BLUR = 1.0  # standard deviation of the Gaussian, in pixels
BLUR_REACH = 3  # pixels to each side: what lies beyond has a weight below 1%
RELATIVE_VARIANCE = 1e-6  # latent directions with a smaller share of the largest variance are left out


def scores(
    model: object,
    x: Float[Tensor, "batch *event"],
    reference: Float[Tensor, "rows *event"] | None = None,
    *,
    noise: Noise = NOISE,
    levels: Levels = None,
    statistics: Mapping[str, Any] | None = None,
) -> dict[str, Float[Tensor, " batch"]]:
    """Return {score: a number for each row of x}, with every score that the model's capabilities allow."""
    fitted = scorers(model, reference, noise=noise, levels=levels, statistics=statistics)
    return {name: score(x) for name, score in fitted.items()}


def scorers(
    model: object,
    reference: Float[Tensor, "rows *event"] | None = None,
    *,
    noise: Noise = NOISE,
    levels: Levels = None,
    statistics: Mapping[str, Any] | None = None,
) -> dict[str, Scorer]:
    """Return {score: function of rows as stored}. The functions are fitted once and can be applied to any rows.

    reference           training rows, for scores that compare with them or need to know whether rows are images;
                        without it these scores are left out
    levels, statistics  from the data's manifest; they define the unit scale
    """
    found: dict[str, Scorer] = {}
    if isinstance(model, Density):
        found["nll"] = _negated(model.log_prob)
    if isinstance(model, Bound):
        found["neg_elbo"] = _neg_elbo(model, noise.shared())
    if isinstance(model, Reconstructor):
        residual = _residual(model, levels, statistics)
        found["reconstruction"] = _squared(residual)
        if reference is not None and reference.ndim == IMAGE_AXES and grey_levels(levels) is not None:
            found["blurred"] = _squared(lambda x: _blurred(residual(x)))
    if isinstance(model, Critic):
        found["critic"] = _negated(model.criticise)
    if isinstance(model, Encoder) and reference is not None:
        with evaluating(model):
            z = by_rows(model.encode, reference).double()
        if not are_probabilities(z):
            found["latent_mahalanobis"] = _latent_mahalanobis(model, z)
    return {name: _guarded(name, model, score) for name, score in found.items()}


def inversion(model: Game, *, noise: Noise = NOISE, starts: int = 4, steps: int = 100) -> Scorer:
    """Return the score min_z |G(z) - y|, found by a bounded search for each row (analysis/inversion.py)."""

    def distance(x: Tensor) -> Tensor:
        return by_rows(lambda rows: invert(model, rows, noise, starts=starts, steps=steps).distance, x, SEARCH_ROWS)

    return _guarded("inversion", model, distance)


def conformal_p(calibration: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """Return p = (1 + #{calibration >= s}) / (n + 1) for each score s (Vovk, Gammerman and Shafer, 2005).

    calibration (n,) are scores of normal rows that were used neither to train nor to choose the model. If a new row is
    exchangeable with them, P(p <= t) <= t for every t: a test that calls rows with p <= 0.05 anomalous has a
    false-positive rate of at most 5%, whatever the score. The 1 in the numerator makes this true for any n.
    """
    calibration, scores = np.sort(np.asarray(calibration)), np.asarray(scores)
    below = np.searchsorted(calibration, scores, side="left")
    return (1 + len(calibration) - below) / (len(calibration) + 1)


def _negated(function: Scorer) -> Scorer:
    return lambda x: -by_rows(function, x)


def _neg_elbo(model: Bound, noise: Noise) -> Scorer:
    return lambda x: -elbo(model, x, noise)


def _residual(model: Reconstructor, levels: Levels, statistics: Mapping[str, Any] | None) -> Scorer:
    def units(x: Tensor) -> Tensor:
        return unit_scale(x, levels=levels, statistics=statistics)

    return lambda x: units(model.reconstruct(x)) - units(x)


def _squared(residual: Scorer) -> Scorer:
    return lambda x: by_rows(lambda rows: residual(rows).square().flatten(1).sum(dim=1), x)


def _blurred(x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
    """Return g * x, channel by channel, with 0 beyond the edges."""
    offsets = torch.arange(-BLUR_REACH, BLUR_REACH + 1, dtype=x.dtype, device=x.device)
    weights = (-0.5 * (offsets / BLUR).square()).exp()
    weights = weights / weights.sum()
    planes = x.flatten(0, 1)[:, None]
    for kernel, padding in ((weights[:, None], (BLUR_REACH, 0)), (weights[None], (0, BLUR_REACH))):
        planes = torch.nn.functional.conv2d(planes, kernel[None, None], padding=padding)
    return planes.view_as(x)


def are_probabilities(z: Float[Tensor, "rows latent"]) -> bool:
    """Return whether z are responsibilities of a mixture.

    They lie at corners of a simplex, where a distance says only how rare the component is.
    """
    return bool((z >= 0).all() and torch.allclose(z.sum(dim=1), z.new_ones(len(z)), atol=1e-4))


def _latent_mahalanobis(model: Encoder, z: Float[Tensor, "rows latent"]) -> Scorer:
    """Return the squared Mahalanobis distance within the span of the training latents z.

    Source: Lee et al., 2018, here with one class. The distance uses a pseudo-inverse, because the covariance is
    singular where a model has switched a latent off: such directions carry no information and are left out, not blown
    up.
    """
    centre = z.mean(dim=0)
    covariance = (z - centre).mT @ (z - centre) / max(1, len(z) - 1)
    variances, directions = torch.linalg.eigh(covariance)
    kept = variances > RELATIVE_VARIANCE * variances[-1]
    whitening = directions[:, kept] / variances[kept].sqrt()

    def distance(x: Tensor) -> Tensor:
        z = by_rows(model.encode, x)
        return ((z.double() - centre) @ whitening).square().sum(dim=1).to(z.dtype)

    return distance


def _guarded(name: str, model: object, score: Scorer) -> Scorer:
    """Return the score in evaluation mode. It raises DataError for nan, as such a row cannot be ranked."""

    def guarded(x: Tensor) -> Tensor:
        with evaluating(model):
            values = score(x)
        if values.isnan().any():
            row = int(values.isnan().nonzero()[0])
            raise DataError(
                f"score {name!r} of row {row} is nan: check that the row is finite, or leave this score out"
            )
        return values

    return guarded
