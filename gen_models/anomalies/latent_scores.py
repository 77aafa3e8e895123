"""Scores by where the latents z of a row lie among the latents of the training rows. They need an Encoder.

    latent_mahalanobis   (z - m)' C^+ (z - m), where m and C are the mean and the covariance of the training rows'
                         latents, and + is the pseudo-inverse (Lee et al., 2018, with one class)
    latent_neighbours    the mean distance from whitened z to the 5 nearest centres of the training rows' whitened
                         latents (after Ramaswamy, Rastogi and Shim, 2000, who take the latents of rows as centres)
    latent_mixture       -log density of whitened z, in nats, under a mixture of Gaussians fitted to the training rows'
                         whitened latents (Zong et al., 2018, who train the mixture together with the encoder)

The last two see several groups of latents, and gaps between the groups. They use only the 16 directions in which the
training rows' latents vary most, because with more directions all distances become alike; so they miss what lies in
directions of small variance. All three miss what the encoder has not learned to see. They are not offered for a model
whose latents are the responsibilities of a mixture: these lie at corners of a simplex, where a distance says only how
rare a component is.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.latent_density import centres_of, load_mixture, mixture_of
from gen_models.anomalies.score import Asked, Score, State
from gen_models.contracts import Encoder
from gen_models.evaluating import by_rows

RELATIVE_VARIANCE = 1e-6  # directions whose variance is smaller than this fraction of the largest are left out
DIRECTIONS = 16  # directions of largest variance that latent_neighbours and latent_mixture use
FITTED_ROWS = 2_000  # training rows to which centres and mixture are fitted
NEIGHBOURS = 5


def are_probabilities(z: Float[Tensor, "rows latent"]) -> bool:
    """Return whether every z looks like responsibilities of a mixture: no number below 0, and a sum of 1."""
    return bool((z >= 0).all() and torch.allclose(z.sum(dim=1), z.new_ones(len(z)), atol=1e-4))


def latents(asked: Asked) -> Float[Tensor, "rows latent"]:
    """Return the latents of the rows `asked.x`, which are computed once for all scores."""
    if "latents" not in asked.passes:
        asked.passes["latents"] = by_rows(asked.model.encode, asked.x)
    return asked.passes["latents"]


def _whitening(asked: Asked) -> State | None:
    """Return the mean of the training rows' latents and a matrix that whitens them, largest variance last.

    If a model has switched a latent off, the covariance is singular. Such directions carry no information and are left
    out; whitening would blow them up. Return None if the latents are probabilities or not finite.
    """
    z = latents(asked).double()
    if are_probabilities(z) or not z.isfinite().all():
        return None
    centre = z.mean(dim=0)
    covariance = (z - centre).mT @ (z - centre) / max(1, len(z) - 1)
    variances, directions = torch.linalg.eigh(covariance)
    kept = variances > RELATIVE_VARIANCE * variances[-1]
    return {"centre": centre, "whitening": directions[:, kept] / variances[kept].sqrt()}


def _whitened(asked: Asked, state: State) -> Float[Tensor, "rows direction"]:
    z = latents(asked)
    centre, whitening = (state[name].to(z.device) for name in ("centre", "whitening"))
    return (z.double() - centre) @ whitening


def _mahalanobis(asked: Asked):
    return _whitened(asked, asked.state).square().sum(dim=1).to(latents(asked).dtype)


def _near(asked: Asked) -> tuple[State, Float[Tensor, "rows direction"]] | None:
    """Return (the state of the whitening, at most FITTED_ROWS whitened latents), both in at most DIRECTIONS directions.

    Return None if there is no whitening, or no direction in which the latents vary.
    """
    state = _whitening(asked)
    if state is None or not state["whitening"].shape[1]:
        return None
    state = {"centre": state["centre"], "whitening": state["whitening"][:, -DIRECTIONS:].contiguous()}
    return state, _whitened(asked, state)[:FITTED_ROWS]


def _fitted_centres(asked: Asked) -> State | None:
    if (near := _near(asked)) is None:
        return None
    whitening, y = near
    return {**whitening, "centres": centres_of(y)}


def _neighbours(asked: Asked):
    y, centres = _whitened(asked, asked.state), asked.state["centres"].to(asked.x.device)
    # without a matrix product, so that a distance does not depend on the number of rows
    distances = torch.cdist(y, centres, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.topk(min(NEIGHBOURS, len(centres)), dim=1, largest=False).values
    return nearest.mean(dim=1).to(latents(asked).dtype)


def _fitted_mixture(asked: Asked) -> State | None:
    if (near := _near(asked)) is None or (mixture := mixture_of(near[1])) is None:
        return None
    return {**near[0], **{f"mixture.{key}": value for key, value in mixture.items()}}


def _mixture(asked: Asked):
    """Return -log p of the whitened latents. In another unit all rows would differ by the same constant."""
    y = _whitened(asked, asked.state)
    stored = {key.removeprefix("mixture."): value for key, value in asked.state.items() if key.startswith("mixture.")}
    return -by_rows(load_mixture(stored, y).log_prob, y).to(latents(asked).dtype)


def _is_encoder(model: object) -> bool:
    return isinstance(model, Encoder)


LATENT_MAHALANOBIS = Score("latent_mahalanobis", _is_encoder, _mahalanobis, _whitening)
LATENT_NEIGHBOURS = Score("latent_neighbours", _is_encoder, _neighbours, _fitted_centres)
LATENT_MIXTURE = Score("latent_mixture", _is_encoder, _mixture, _fitted_mixture)
