"""Measures the negative log-likelihood of test rows, or an upper bound on it, beside reference values.

nats                     minus the mean over test rows of log p(x) for a Density, of the ELBO (with weight 1 of the KL
                         term) for a Bound
nats_error               the standard error of nats over rows. Each row has random draws of its own, so it includes the
                         error of the draws
nats_without_worst       nats without the most surprising row, which may make most of the mean
nats_iw50[_error]        for a Bound: minus the mean of the importance-weighted bound with 50 draws (Burda et al.,
                         2016); in expectation, at most nats
nats_histogram           minus the mean of log p(x) for a model in which pixels or columns are independent, each with
                         its own histogram: a trained model should be below it
bits_per_dim[_iw50, _histogram]
                         for data on grey levels: nats, nats_iw50 and nats_histogram in bits, per number of a row
truth_nats, gap_nats     for data whose density p* is known: minus the mean of log p*(x) on the same rows, and nats
                         minus truth_nats
binary_nats[_error, _without_worst, _iw50, _iw50_error], binary_nats_pixels
                         for a model of binary pixels, in place of all above. A row x on the grey levels 0 .. q - 1
                         becomes the binary row y ~ Bernoulli(x/(q - 1)), whose likelihood is measured as above;
                         _pixels is that of a model with independent pixels. Such a model has no density of the grey
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
        name = f"nats_iw{IMPORTANCE_SAMPLES}"
        found = {name: -weighted.mean().item(), f"{name}_error": weighted.std().item() / math.sqrt(len(x))}
    else:
        return {}
    found = {
        "nats": -log_p.mean().item(),
        "nats_error": log_p.std().item() / math.sqrt(len(x)),
        "nats_without_worst": -log_p.sort().values[1:].mean().item(),
        **found,
    }
    scale = getattr(model, "data_scale", None)
    if isinstance(scale, Binarisation):
        found = {f"binary_{name}": value for name, value in found.items()}
        return {**found, "binary_nats_pixels": -bernoulli_log_prob(trained)}
    found["nats_histogram"] = -floor_log_prob(trained, getattr(scale, "columns", None))
    return {**found, **_bits(trained, found), **_gap(trained, found["nats"])}


def floor_log_prob(rows: RowsOf, columns: Coordinates | None = None) -> float:
    """Return the mean log-likelihood of test rows, in nats, under a model of independent pixels or columns.

    columns: for tables, which numbers of a row are discrete; None: all numbers are continuous. Data on grey levels
    ignore `columns`.
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
    nats = {name: value for name, value in found.items() if not name.endswith(("_error", "_without_worst"))}
    return {name.replace("nats", "bits_per_dim"): bits_per_dim(-value, dims) for name, value in nats.items()}


def _gap(trained: Trained, nats: float) -> dict[str, float]:
    source = trained.data.manifest["source"]
    if source not in LOG_DENSITIES:
        return {}
    truth = -float(np.mean(LOG_DENSITIES[source](trained.normal("test").double().numpy())))
    return {"truth_nats": truth, "gap_nats": nats - truth}
