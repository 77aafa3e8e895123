"""Measures likelihoods of latent-variable models, or bounds on them, in nats.

    nats       the mean over test rows of -log 1/K sum_k w_k, with K = SAMPLES draws from the encoder's q; it is in
               expectation an upper bound on -log p. The pixels are binary, y ~ Bernoulli(x/255), drawn once for each
               test row, the same for all models
    order      how much lower `nats` is for a model trained with a larger number of importance samples than for a model
               trained with a smaller number, as a mean over paired rows. The two trainings differ in nothing else
    inference  the amortisation gap of the first test rows: the ELBO of the best diagonal Gaussian q of each row minus
               the ELBO of the encoder's q. Beside it: the ELBO of the q that is fitted from N(0, I) in place of the
               encoder's q; log p estimated with draws from the prior N(0, I), which is unreliable; and the relative
               variance of one importance weight, as the median over rows
    gap        the mean over test rows of log p*(x) - log p(x) for a mixture, where the density p* of the data is known

The spread is a standard error over test rows; for `gap` it is the range over seeds.
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
    """Measure the importance-weighted bound on -log p of test rows."""
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
    """Measure by how many nats a model trained with options.samples draws is below one trained with options.over."""
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
    """Measure the amortisation gap in nats. Raises DataError if the ELBO of the best q is significantly above log p."""
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
    """Measure the mean of log p*(x) - log p(x) over test rows, of the worst seed."""
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
    """Return log 1/K sum_k w_k in nats of the first `images` test rows, with K = `samples` draws of the encoder's q."""

    def of(model: Any, x: Tensor, noise: Noise) -> Tensor:
        return evidence(model, x, encoder_q(model, x, noise), noise, samples=samples).log_p

    return by_parts(trained, images, of)


def fitted(model: Any, x: Tensor, start: Moments, noise: Noise) -> Tensor:
    """Return the ELBO of the best q of each row, in nats. start: the (mu, log_var) from which its fit starts

    The ELBO is computed with other draws of z than the fit, the same draws for every q.
    """
    return elbo_of(model, x, fit_q(model, x, start, noise, steps=FIT_STEPS), noise)


def evidences(trained: Trained, of: Any) -> Evidence:
    """Return the result of of(model, x, noise), an Evidence, for the first LOCAL_IMAGES test rows, in float64."""
    parts: list[Evidence] = []

    def kept_too(model: Any, x: Tensor, noise: Noise) -> Tensor:
        parts.append(of(model, x, noise))
        return parts[-1].log_p

    log_p = by_parts(trained, LOCAL_IMAGES, kept_too)
    return Evidence(log_p, torch.cat([part.relative_variance for part in parts]).double())


def by_parts(trained: Trained, images: int, of: Any) -> Tensor:
    """Return the values of of(model, x, noise) for the first `images` test rows, (images,) float64.

    The rows come in parts of AT_ONCE; part k gets the noise of seed k, the same for all models.
    """
    with evaluating(trained.model):
        parts = trained.normal("test")[:images].split(AT_ONCE)
        return torch.cat([of(trained.model, x, Noise(k)).double() for k, x in enumerate(parts)])


def error_of(values: Tensor) -> float:
    return values.std().item() / math.sqrt(len(values))
