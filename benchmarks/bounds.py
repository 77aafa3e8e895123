"""Likelihoods of latent-variable models, by bounds that are named.

    nats       -log p(x) of binary pixels, y ~ Bernoulli(x/255) drawn once for each test row, the same for all models:
               log 1/K sum_k w_k with K = SAMPLES draws of the encoder's q, an upper bound of -log p(x) in expectation
    order      how much lower that is for one K in training than for a smaller, mean of paired rows; the models differ
               in nothing else and have as many updates
    inference  the amortisation gap of the first rows: the best diagonal q of each row against the encoder's
    gap        of a mixture, nats above data whose density is known

Spread is a standard error over test rows, of `gap` the range over seeds.
"""

import math
import time
from typing import Any

import torch
from torch import Tensor

from benchmarks import kept, plan, training
from benchmarks.flows import MANY, gaps_to_the_truth
from gen_models.autoencoders.inference import elbo_of, encoder_q, evidence, gaps
from gen_models.measures import evaluating
from gen_models.noise import Noise
from pipelines.measuring.histogram import bernoulli_log_prob
from pipelines.trained import Trained

IMAGES, SAMPLES = 5_000, 500
LOCAL_IMAGES, LOCAL_SAMPLES = 500, 5_000
AT_ONCE = 100


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
    """The amortisation gap in nats; the ELBO of each row's best q must not pass log p."""
    began = time.monotonic()
    trained = (played := kept.play(row, training.data(row.data))).trained
    evidences = log_p(trained, LOCAL_IMAGES, LOCAL_SAMPLES)
    amortisation, approximation = [], []
    with evaluating(trained.model):
        parts = zip(trained.normal("test")[:LOCAL_IMAGES].split(AT_ONCE), evidences.float().split(AT_ONCE), strict=True)
        for k, (x, evidence_) in enumerate(parts):
            found = gaps(trained.model, x, evidence_, Noise(k))
            amortisation.append(found.amortisation)
            approximation.append(found.approximation)
    gap, left = torch.cat(amortisation).double(), torch.cat(approximation).double()
    plan.write(
        "latent",
        name,
        row,
        gap.mean().item(),
        f"nats of amortisation, {LOCAL_IMAGES} images",
        spread=error_of(gap),
        baselines={
            "least of an image": gap.min().item(),
            "approximation gap": left.mean().item(),
            "-ELBO of the encoder's q": -(evidences - left - gap).mean().item(),
            "-ELBO of each image's q": -(evidences - left).mean().item(),
            f"-log p, {LOCAL_SAMPLES} samples": -evidences.mean().item(),
        },
        budget=f"{row.steps} minibatches of {played.batch_size}, {played.seconds:.0f} s; 300 steps for each image",
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
        baselines=found,
        budget=f"EM, then {row.steps} minibatches of {batch}, {seconds:.0f} s at most",
        seconds=time.monotonic() - began,
    )


def log_p(trained: Trained, images: int, samples: int) -> Tensor:
    """log 1/K sum_k w_k of the first test rows."""

    def of(model: Any, x: Tensor, noise: Noise) -> Tensor:
        return evidence(model, x, encoder_q(model, x, noise), noise, samples=samples).log_p

    return by_parts(trained, images, of)


def by_parts(trained: Trained, images: int, of: Any) -> Tensor:
    """of(model, x, noise) of the first test rows; part k has the noise of seed k, whatever the model."""
    with evaluating(trained.model):
        parts = trained.normal("test")[:images].split(AT_ONCE)
        return torch.cat([of(trained.model, x, Noise(k)).double() for k, x in enumerate(parts)])


def error_of(values: Tensor) -> float:
    return values.std().item() / math.sqrt(len(values))
