"""Measures whether a larger weight beta of the KL puts each factor of the data into one latent.

MIG is the mutual information gap of the factors and the means of q on test rows
(gen_models/measures/disentanglement.py). The figure is the MIG with the second of options.betas minus the MIG with the
first, as the mean over seeds, each of which trains both. The spread is half the width of Student's 95% interval of the
mean.
"""

import time
from statistics import fmean

import numpy as np
import torch
from scipy.stats import sem, t
from torch import Tensor

from benchmarks import plan, training
from gen_models.autoencoders.gaussian import kl_to_standard_normal
from gen_models.evaluating import by_rows, evaluating
from gen_models.measures.disentanglement import mutual_information_gap
from pipelines.evaluation.trained_run import Trained


def disentangling(name: str, row: plan.Row) -> None:
    """Measure the mean gain in MIG, beside the MIG and the KL of each beta."""
    began, dataset, gaps, rates, seconds, batch = time.monotonic(), training.data(row.data), {}, {}, 0.0, 0
    betas = row.options["betas"]
    for seed in row.seeds:
        for beta in betas:
            settings = {**row.settings, "model.beta": beta}
            played = training.play(row.model, dataset, settings, steps=row.steps, seed=seed)
            gaps[beta, seed], rates[beta, seed] = gap_and_rate(played.trained)
            seconds, batch = max(seconds, played.seconds), played.batch_size
            print(f"beta {beta:g}, seed {seed}: MIG {gaps[beta, seed]:.3f}, {rates[beta, seed]:.2f} nats", flush=True)
    low, high = betas
    gains = [gaps[high, seed] - gaps[low, seed] for seed in row.seeds]
    beside = {f"beta {beta:g}, MIG": fmean(gaps[beta, seed] for seed in row.seeds) for beta in betas}
    beside |= {f"beta {beta:g}, KL in nats": fmean(rates[beta, seed] for seed in row.seeds) for beta in betas}
    plan.write(
        "latent",
        name,
        row,
        fmean(gains),
        f"MIG of beta {high:g} above beta {low:g}",
        better="higher",
        spread=float(sem(gains) * t.ppf(0.975, len(gains) - 1)),
        baselines={**beside, "least gain of a seed": min(gains)},
        budget=f"{row.steps} minibatches of {batch}, {seconds:.0f} s at most, {2 * len(gains)} times",
        seconds=time.monotonic() - began,
    )


def gap_and_rate(trained: Trained) -> tuple[float, float]:
    """Return (MIG, the mean of KL(q(z|x) || p(z)) in nats) of test rows."""
    model = trained.model

    def moments(x: Tensor) -> Tensor:
        return torch.cat(model.posterior(model.data_scale.centre(x).flatten(1)), dim=1)

    with evaluating(model):
        mu, log_var = by_rows(moments, trained.normal("test")).chunk(2, dim=1)
    gap = mutual_information_gap(mu.numpy(), np.asarray(trained.data.factors("test")))
    return gap, kl_to_standard_normal(mu, log_var).mean().item()
