"""Scores by where a row's latents lie among those of the training rows. Capability: Encoder.

    latent_mahalanobis   (z - m)' C^+ (z - m), m and C of the training rows' latents (Lee et al., 2018, with one class)

A model whose latents are the responsibilities of a mixture has no such score: they lie at corners of a simplex, where a
distance says only how rare the component is.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.score import Asked, Score, State
from gen_models.contracts import Encoder
from gen_models.evaluating import by_rows

RELATIVE_VARIANCE = 1e-6  # latent directions with a smaller share of the largest variance are left out


def are_probabilities(z: Float[Tensor, "rows latent"]) -> bool:
    """Return whether z are responsibilities of a mixture."""
    return bool((z >= 0).all() and torch.allclose(z.sum(dim=1), z.new_ones(len(z)), atol=1e-4))


def _whitening(asked: Asked) -> State | None:
    """Return the centre and the whitening of the training latents' span.

    The covariance is singular where a model has switched a latent off: such directions carry no information and are
    left out, not blown up.
    """
    z = by_rows(asked.model.encode, asked.x).double()
    if are_probabilities(z):
        return None
    centre = z.mean(dim=0)
    covariance = (z - centre).mT @ (z - centre) / max(1, len(z) - 1)
    variances, directions = torch.linalg.eigh(covariance)
    kept = variances > RELATIVE_VARIANCE * variances[-1]
    return {"centre": centre, "whitening": directions[:, kept] / variances[kept].sqrt()}


def _mahalanobis(asked: Asked):
    z = by_rows(asked.model.encode, asked.x)
    centre, whitening = (asked.state[name].to(z.device) for name in ("centre", "whitening"))
    return ((z.double() - centre) @ whitening).square().sum(dim=1).to(z.dtype)


LATENT_MAHALANOBIS = Score("latent_mahalanobis", lambda model: isinstance(model, Encoder), _mahalanobis, _whitening)
