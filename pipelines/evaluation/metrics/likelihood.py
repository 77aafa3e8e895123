"""The negative log-likelihood, or bounds on it, beside reference values.

nats, nats_error         -mean log p(x) (Density) or -mean ELBO(x) at beta = 1 (Bound), and its standard error; each row
                         has draws of its own, so the error holds what they add
nats_iw50                -mean of the importance-weighted bound with K = 50 (Burda et al., 2016); in expectation, at
                         most nats
bits_per_dim[_iw50]      the same in bits for each dimension, for data on grey levels
bits_per_dim_histogram   the same for independent pixels, each with its own histogram: a model should be below it
truth_nats, gap_nats     for data whose density is known: -mean log p*(x) on the same rows, and nats minus it
binary_nats[_error, _iw50], binary_nats_pixels
                         for a model of binary pixels, in place of all above: y ~ Bernoulli(x/(levels - 1)) is drawn for
                         each row; _pixels is the same for independent pixels. Such a model has no density of the grey
                         levels, so there are no bits_per_dim
"""

import math

import numpy as np

from gen_models.contracts import Bound, Density
from gen_models.evaluating import elbo, log_prob
from gen_models.layers.binarisation import Binarisation
from gen_models.measures.units import bits_per_dim
from gen_models.noise import Noise
from pipelines.data.densities import LOG_DENSITIES
from pipelines.evaluation.metrics.pixel_histogram import bernoulli_log_prob, histogram_log_prob
from pipelines.evaluation.trained_run import Trained

IMPORTANCE_SAMPLES = 50


def likelihood(trained: Trained, noise: Noise) -> dict[str, float]:
    """Return the metrics of a Density or a Bound; {} for other models."""
    model, x = trained.model, trained.normal("test")
    if isinstance(model, Density):
        log_p = log_prob(model, x, noise).double()
        found = {}
    elif isinstance(model, Bound):
        log_p = elbo(model, x, noise).double()
        weighted = elbo(model, x, noise, samples=IMPORTANCE_SAMPLES, draws=1).double()
        found = {f"nats_iw{IMPORTANCE_SAMPLES}": -weighted.mean().item()}
    else:
        return {}
    found = {"nats": -log_p.mean().item(), "nats_error": log_p.std().item() / math.sqrt(len(x)), **found}
    if isinstance(getattr(model, "data_scale", None), Binarisation):
        found = {f"binary_{name}": value for name, value in found.items()}
        return {**found, "binary_nats_pixels": -bernoulli_log_prob(trained)}
    return {**found, **_bits(trained, found), **_gap(trained, found["nats"])}


def _bits(trained: Trained, found: dict[str, float]) -> dict[str, float]:
    if trained.data.levels is None:
        return {}
    dims = math.prod(trained.data.event_shape)
    nats = {name: value for name, value in found.items() if name != "nats_error"}
    bits = {name.replace("nats", "bits_per_dim"): bits_per_dim(-value, dims) for name, value in nats.items()}
    return {**bits, "bits_per_dim_histogram": bits_per_dim(histogram_log_prob(trained), dims)}


def _gap(trained: Trained, nats: float) -> dict[str, float]:
    source = trained.data.manifest["source"]
    if source not in LOG_DENSITIES:
        return {}
    truth = -float(np.mean(LOG_DENSITIES[source](trained.normal("test").double().numpy())))
    return {"truth_nats": truth, "gap_nats": nats - truth}
