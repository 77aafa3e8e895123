"""The negative log-likelihood, or bounds on it, beside reference values.

nats, nats_error         -mean log p(x) (Density) or -mean ELBO(x) at beta = 1 (Bound), and its standard error; each row
                         has draws of its own, so the error holds what they add
nats_iw50                -mean of the importance-weighted bound with K = 50 (Burda et al., 2016); in expectation, at
                         most nats
nats_histogram           the same for independent pixels or columns, each with its own histogram: a model should be
                         below it
bits_per_dim[_iw50, _histogram]
                         the same in bits for each dimension, for data on grey levels
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
from gen_models.layers.levels import Coordinates, coordinates
from gen_models.measures.units import bits_per_dim
from gen_models.noise import Noise
from pipelines.data.densities import LOG_DENSITIES
from pipelines.evaluation.metrics.column_histogram import independent_columns_log_prob
from pipelines.evaluation.metrics.pixel_histogram import bernoulli_log_prob, histogram_log_prob
from pipelines.evaluation.prepared_rows import RowsOf
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
    scale = getattr(model, "data_scale", None)
    if isinstance(scale, Binarisation):
        found = {f"binary_{name}": value for name, value in found.items()}
        return {**found, "binary_nats_pixels": -bernoulli_log_prob(trained)}
    found["nats_histogram"] = -floor_log_prob(trained, getattr(scale, "columns", None))
    return {**found, **_bits(trained, found), **_gap(trained, found["nats"])}


def floor_log_prob(rows: RowsOf, columns: Coordinates | None = None) -> float:
    """Return the mean log-likelihood of test rows, in nats, if pixels or columns were independent.

    columns: what is discrete in a row of a table; None: nothing
    """
    if rows.data.levels is not None:
        return histogram_log_prob(rows)
    train, validation, test = (rows.normal(split).flatten(1) for split in ("train", "validation", "test"))
    columns = columns or coordinates([None] * train.shape[1], train.shape[1:])
    return independent_columns_log_prob(train, validation, test, columns).mean().item()


def _bits(trained: Trained, found: dict[str, float]) -> dict[str, float]:
    if trained.data.levels is None:
        return {}
    dims = math.prod(trained.data.event_shape)
    nats = {name: value for name, value in found.items() if name != "nats_error"}
    return {name.replace("nats", "bits_per_dim"): bits_per_dim(-value, dims) for name, value in nats.items()}


def _gap(trained: Trained, nats: float) -> dict[str, float]:
    source = trained.data.manifest["source"]
    if source not in LOG_DENSITIES:
        return {}
    truth = -float(np.mean(LOG_DENSITIES[source](trained.normal("test").double().numpy())))
    return {"truth_nats": truth, "gap_nats": nats - truth}
