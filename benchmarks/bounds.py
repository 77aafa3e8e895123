"""Likelihoods of latent-variable models, by bounds that are named.

    nats       -log p(x) of binary pixels, y ~ Bernoulli(x/255) drawn once for each test row, the same for all models:
               log 1/K sum_k w_k with K = SAMPLES draws of the encoder's q, an upper bound of -log p(x) in expectation
    order      how much lower that is for one K in training than for a smaller, mean of paired rows; the models differ
               in nothing else and have as many updates
    inference  the amortisation gap of the first rows: the best diagonal q of each row against the encoder's. Beside it
               what other q come to: fitted from N(0, I) in place of the encoder's, and N(0, I) itself, whose draws are
               no estimate to rely on: the relative variance of a weight is the median over rows
    gap        of a mixture, nats above data whose density is known

Spread is a standard error over test rows, of `gap` the range over seeds.
"""

import math
import time
from typing import Any

import torch
from torch import Tensor

from benchmarks import kept, plan, training
from benchmarks.flows import FLOOR, MANY, floor_gap, gaps_to_the_truth
from gen_models.analysis.inference import Evidence, elbo_of, encoder_q, evidence, fit_q, prior_q
from gen_models.autoencoders.latent_variable import Moments
from gen_models.errors import DataError
from gen_models.evaluating import evaluating
from gen_models.noise import Noise
from pipelines.evaluation.metrics.pixel_histogram import bernoulli_log_prob
from pipelines.evaluation.trained_run import Trained

IMAGES, SAMPLES = 5_000, 500
LOCAL_IMAGES, LOCAL_SAMPLES = 500, 5_000
AT_ONCE = 100
FIT_STEPS = 300


def nats(name: str, row: plan.Row) -> None:
    """-log p(x) of test rows, importance-weighted."""
    began = time.monotonic()
    played = kept.play(row, training.data(row.data))
    found = -log_p(played.trained, IMAGES, SAMPLES)
    bounds = -by_parts(
        played.trained, IMAGES, lambda model, x, noise: elbo_of(model, x, encoder_q(model, x, noise), noise)
    )
    plan.write(
        "latent",
        name,
        row,
        found.mean().item(),
        f"nats, {IMAGES} images x {SAMPLES} samples",
        spread=error_of(found),
        baselines={
            "-ELBO": bounds.mean().item(),
            "independent pixels": -bernoulli_log_prob(played.trained),
            **row.options["published"],
        },
        budget=f"{row.steps} minibatches of {played.batch_size}, {played.seconds:.0f} s",
        seconds=time.monotonic() - began,
    )


def order(name: str, row: plan.Row) -> None:
    """Nats that options.samples are below options.over."""
    began, dataset, found, seconds, batch = time.monotonic(), training.data(row.data), {}, 0.0, 0
    for k in (row.options["over"], row.options["samples"]):
        played = kept.play(row, dataset, {"model.samples": k})
        found[k] = -log_p(played.trained, IMAGES, SAMPLES)
        seconds, batch = played.seconds, played.batch_size
        print(f"k = {k}: {found[k].mean():.3f} nats, {seconds:.0f} s", flush=True)
    below = found[row.options["over"]] - found[row.options["samples"]]
    plan.write(
        "latent",
        name,
        row,
        below.mean().item(),
        f"nats below k = {row.options['over']}, {IMAGES} images x {SAMPLES} samples",
        better="higher",
        spread=error_of(below),
        baselines={**{f"k = {k}": values.mean().item() for k, values in found.items()}, **row.options["published"]},
        budget=f"{row.steps} minibatches of {batch}, {seconds:.0f} s",
        seconds=time.monotonic() - began,
    )


def inference(name: str, row: plan.Row) -> None:
    """The amortisation gap in nats. Raises DataError where the ELBO of the best q is significantly above log p."""
    began = time.monotonic()
    trained = (played := kept.play(row, training.data(row.data))).trained
    of = {
        "log p": lambda model, x, noise: evidence(model, x, encoder_q(model, x, noise), noise, samples=LOCAL_SAMPLES),
        "prior": lambda model, x, noise: evidence(model, x, prior_q(model, x), noise, samples=LOCAL_SAMPLES),
        "encoder's": lambda model, x, noise: elbo_of(model, x, encoder_q(model, x, noise), noise),
        "fitted": lambda model, x, noise: fitted(model, x, encoder_q(model, x, noise), noise),
        "from N(0, I)": lambda model, x, noise: fitted(model, x, prior_q(model, x), noise),
    }
    found = {name: by_parts(trained, LOCAL_IMAGES, one) for name, one in of.items() if name not in ("log p", "prior")}
    encoders, priors = (evidences(trained, of[name]) for name in ("log p", "prior"))
    gap, left = found["fitted"] - found["encoder's"], encoders.log_p - found["fitted"]
    if left.mean() < -2 * error_of(left):
        raise DataError(
            f"the ELBO of the fitted q lies {-left.mean():.3f} nats above log p, which it bounds from below"
        )
    plan.write(
        "latent",
        name,
        row,
        gap.mean().item(),
        f"nats of amortisation, {LOCAL_IMAGES} images",
        spread=error_of(gap),
        baselines={
            "approximation gap": left.mean().item(),
            **{f"-ELBO, {name} q": -values.mean().item() for name, values in found.items()},
            f"-log p, {LOCAL_SAMPLES} samples of the encoder's q": -encoders.log_p.mean().item(),
            f"-log p, {LOCAL_SAMPLES} samples of the prior": -priors.log_p.mean().item(),
            "relative variance of a weight, encoder's q": encoders.relative_variance.median().item(),
            "relative variance of a weight, prior": priors.relative_variance.median().item(),
        },
        budget=f"{row.steps} minibatches of {played.batch_size}, {played.seconds:.0f} s; {FIT_STEPS} for each image",
        seconds=time.monotonic() - began,
    )


def gap(name: str, row: plan.Row) -> None:
    """The worst seed's mean of log p*(x) - log p(x) over test rows."""
    began, dataset, found, seconds, batch = time.monotonic(), training.data(row.data, **MANY), {}, 0.0, 0
    for seed in row.seeds:
        played = training.play(row.model, dataset, row.settings, steps=row.steps, seed=seed)
        found[f"seed {seed}"] = gaps_to_the_truth(played.trained).mean().item()
        seconds, batch = max(seconds, played.seconds), played.batch_size
    plan.write(
        "latent",
        name,
        row,
        max(found.values()),
        "nats above the truth",
        spread=max(found.values()) - min(found.values()),
        baselines={**found, FLOOR: floor_gap(dataset)},
        budget=f"EM, then {row.steps} minibatches of {batch}, {seconds:.0f} s at most",
        seconds=time.monotonic() - began,
    )


def log_p(trained: Trained, images: int, samples: int) -> Tensor:
    """log 1/K sum_k w_k of the first test rows."""

    def of(model: Any, x: Tensor, noise: Noise) -> Tensor:
        return evidence(model, x, encoder_q(model, x, noise), noise, samples=samples).log_p

    return by_parts(trained, images, of)


def fitted(model: Any, x: Tensor, start: Moments, noise: Noise) -> Tensor:
    """The ELBO of each row's best q, on the draws that `elbo_of` has of every q; those of the fit are others."""
    return elbo_of(model, x, fit_q(model, x, start, noise, steps=FIT_STEPS), noise)


def evidences(trained: Trained, of: Any) -> Evidence:
    """Of the first rows, in float64."""
    parts: list[Evidence] = []

    def kept_too(model: Any, x: Tensor, noise: Noise) -> Tensor:
        parts.append(of(model, x, noise))
        return parts[-1].log_p

    log_p = by_parts(trained, LOCAL_IMAGES, kept_too)
    return Evidence(log_p, torch.cat([part.relative_variance for part in parts]).double())


def by_parts(trained: Trained, images: int, of: Any) -> Tensor:
    """of(model, x, noise) of the first test rows; part k has the noise of seed k, whatever the model."""
    with evaluating(trained.model):
        parts = trained.normal("test")[:images].split(AT_ONCE)
        return torch.cat([of(trained.model, x, Noise(k)).double() for k, x in enumerate(parts)])


def error_of(values: Tensor) -> float:
    return values.std().item() / math.sqrt(len(values))
