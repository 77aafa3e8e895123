"""Summaries of many vectors, which the scores of latents keep of the training rows: centres, or a mixture of Gaussians.

Neither contains a vector itself: a centre is the mean of at least 4 vectors (or of all, if there are too few), and each
component of the mixture is responsible for more vectors than they have dimensions. The same vectors always give the
same summaries.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.score import NOISE, State
from gen_models.mixtures.gaussian_mixture import GaussianMixture
from gen_models.mixtures.kmeans import kmeans_plus_plus

MOST_CENTRES = 200
ROWS_OF_A_CENTRE = 8  # vectors for each centre, on average
LEAST_ROWS = 4  # a centre of fewer vectors is left out
STEPS = 10  # of k-means
COMPONENTS = (1, 2, 4, 8)
ROWS_OF_A_DIMENSION = 10  # k components of D dimensions need at least k (D + 1) times as many vectors, if k > 1
EM_STEPS = 30


def centres_of(y: Float[Tensor, "rows dim"]) -> Float[Tensor, "centres dim"]:
    """Return at most MOST_CENTRES centres of the vectors y, found by k-means.

    A centre of fewer than LEAST_ROWS vectors is left out. If none is left, return the mean of all vectors.
    """
    centres = kmeans_plus_plus(y, min(MOST_CENTRES, max(1, len(y) // ROWS_OF_A_CENTRE)), NOISE, tries=1)
    counts = y.new_zeros(len(centres))
    for _ in range(STEPS):
        nearest = torch.cdist(y, centres).argmin(dim=1)
        counts = torch.bincount(nearest, minlength=len(centres)).to(y)
        sums = torch.zeros_like(centres).index_add_(0, nearest, y)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    kept = centres[counts >= LEAST_ROWS]
    return kept if len(kept) else y.mean(dim=0, keepdim=True)


def mixture_of(y: Float[Tensor, "rows dim"]) -> State | None:
    """Return the parameters of the Gaussian mixture of 1, 2, 4 or 8 components with the smallest BIC.

    BIC = -2 log p(y) + (number of parameters) x log(number of vectors) (Schwarz, 1978). Return None if there are too
    few vectors for any of these mixtures.
    """
    rows, D = y.shape
    best, least = None, math.inf
    for k in COMPONENTS:
        if k * (D + 1) * ROWS_OF_A_DIMENSION > rows and (k > 1 or rows <= D + 1):
            break
        mixture = _mixture(k, y)
        mixture.warm_start(y, NOISE)
        log_likelihood = mixture.log_prob(y).sum().item()
        is_sound = mixture.encode(y).sum(dim=0).min() > D + 1
        bic = (k * (1 + D + D * (D + 1) / 2) - 1) * math.log(rows) - 2 * log_likelihood
        if bic < least and is_sound:
            best, least = {key: value.detach().clone() for key, value in mixture.state_dict().items()}, bic
    return best


def load_mixture(state: State, like: Float[Tensor, "rows dim"]) -> GaussianMixture:
    """Return the mixture that has the parameters `state`, on the device and with the dtype of `like`."""
    mixture = _mixture(len(state["means"]), like)
    mixture.load_state_dict(dict(state))
    return mixture


def _mixture(k: int, like: Float[Tensor, "rows dim"]) -> GaussianMixture:
    with torch.random.fork_rng(devices=[]):  # the start is overwritten, and nobody else's draws change
        mixture = GaussianMixture([like.shape[1]], None, components=k, covariance="full", em_steps=EM_STEPS)
    return mixture.to(like.device, like.dtype)
