"""Counts the modes that a game reaches on a ring or a grid of narrow Gaussians (measures/modes.py).

Each seed draws 2,500 samples. A mode is reached if at least 20 samples lie within 3 standard deviations of it. If fewer
than 90% of the samples of a seed lie so near to some mode, the seed counts as having reached no mode, since samples
that are everywhere would reach all modes.

The figure of `modes` is the mean over seeds. The figure of `variants` is the mean over seeds of the best variant;
beside it are, for each variant, the modes without the rule of 90%, and the share of samples near a mode. The data have
360,000 training rows, so that no critic can memorise them.
"""

import time
from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple

import torch

from benchmarks import plan, training
from gen_models.evaluating import draw, evaluating
from gen_models.measures.modes import SAMPLES
from gen_models.measures.modes import modes as modes_of
from gen_models.noise import Noise
from pipelines.data.sources.gaussians import MIXTURES
from pipelines.data.store import Dataset

MANY = {"options": {"rows": 400_000}, "split": {"train": 0.9, "validation": 0.05, "test": 0.05}}
LEAST_QUALITY = 0.9


class Reached(NamedTuple):
    """The result of one seed: modes, the share of samples near one, seconds of training, rows of a minibatch."""

    modes: int
    quality: float
    seconds: float
    batch_size: int

    def counted(self) -> int:
        """Return the number of modes, or 0 if too many samples are near no mode."""
        return self.modes if self.quality >= LEAST_QUALITY else 0


def modes(name: str, row: plan.Row) -> None:
    """Measure the mean number of modes over seeds; the spread is the distance of the lowest seed from the mean."""
    began, dataset = time.monotonic(), training.data(row.data, **MANY)
    found = [reached(row.model, dataset, row.settings, row.steps, seed) for seed in row.seeds]
    counted = [one.counted() for one in found]
    plan.write(
        "games",
        name,
        row,
        fmean(counted),
        f"modes of {len(MIXTURES[row.data].means)}",
        better="higher",
        spread=fmean(counted) - min(counted),
        baselines={
            "whatever the quality": fmean(one.modes for one in found),
            "share within 3 sd": fmean(one.quality for one in found),
            "least share of a seed": min(one.quality for one in found),
            **row.options.get("published", {}),
        },
        budget=f"{row.steps} minibatches of {found[0].batch_size}, {max(one.seconds for one in found):.0f} s a seed",
        seconds=time.monotonic() - began,
    )


def variants(name: str, row: plan.Row) -> None:
    """Measure each of options.variants, {name: {model, settings}}, all with the same number of minibatches."""
    began, dataset, found = time.monotonic(), training.data(row.data, **MANY), {}
    for variant, said in row.options["variants"].items():
        settings = {**row.settings, **said.get("settings", {})}
        found[variant] = [reached(said["model"], dataset, settings, row.steps, seed) for seed in row.seeds]
    best = max(found, key=lambda variant: fmean(one.counted() for one in found[variant]))
    counted = [one.counted() for one in found[best]]
    slowest = max(one.seconds for seeds in found.values() for one in seeds)
    table: dict[str, float] = {}
    for variant, seeds in found.items():
        table[f"{variant}: modes"] = round(fmean(one.modes for one in seeds), 2)
        table[f"{variant}: share within 3 sd"] = round(fmean(one.quality for one in seeds), 3)
    plan.write(
        "games",
        name,
        row,
        fmean(counted),
        f"modes of {len(MIXTURES[row.data].means)}, {best}",
        better="higher",
        spread=fmean(counted) - min(counted),
        baselines=table,
        budget=f"{row.steps} minibatches, {slowest:.0f} s at most",
        seconds=time.monotonic() - began,
    )


def reached(model: str, dataset: Dataset, settings: Mapping[str, Any], steps: int, seed: int) -> Reached:
    """Train a model, draw 2,500 samples and count the modes that they reach."""
    played = training.play(model, dataset, settings, steps=steps, seed=seed)
    mixture = MIXTURES[dataset.name]
    with evaluating(played.trained.model):
        samples = draw(played.trained.model, SAMPLES, Noise(seed))
    found = modes_of(samples, torch.from_numpy(mixture.means), float(mixture.factors[0, 0, 0]))
    said = f"{found.reached} modes, {found.high_quality:.3f} of the samples near one"
    print(f"{model} on {dataset.name}, seed {seed}: {said}", flush=True)
    return Reached(found.reached, found.high_quality, played.seconds, played.batch_size)
