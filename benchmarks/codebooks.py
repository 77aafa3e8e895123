"""Measures the squared error of VQ-VAEs against the error of rivals that take as many bits.

    one_level   the larger of two ratios, both of which should stay below 1. The first is the squared error over the
                error of PCA with at most as many bytes of entropy-coded symbols; tables and header are not counted. The
                second is half of the size of the codebook over its perplexity. PCA is fitted to all training rows; the
                number of components and the step are chosen on the same test rows on which it is measured
    two_levels  the squared error of a model with two levels over the error of a model with one level that takes at
                least as many entropy-coded bits a row. options.rivals lists sizes of the one level's codebook, whose
                grid is as fine as the bottom grid; of the rivals that take enough bits, the one with the fewest counts.
                Beside it are the bits that grids take at log2 K bits a code

Errors are of the test rows that pipelines/evaluation/compression_rates.py compresses, on the unit scale, clipped to the
data's range. The spread is the standard error over rows of the ratio of errors.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from benchmarks import plan, training
from benchmarks.reconstructions import ratio_of_means
from gen_models.codecs import codes, latents, principal
from gen_models.errors import ConfigError
from gen_models.noise import Noise
from pipelines.comparison.compression_baselines import unit_of
from pipelines.evaluation.compression_rates import test_rows
from pipelines.evaluation.data_range import Range, range_of, squared_errors
from pipelines.evaluation.metrics.active_latents import latents as watched
from pipelines.evaluation.trained_run import Trained

COMPONENTS = (16, 24, 32, 48, 64, 96, 128)
STEPS = np.geomspace(0.1, 1, 31)  # each 8% wider than the one before


def one_level(name: str, row: plan.Row) -> None:
    """Measure squared error and perplexity of a model with one level, each as a ratio that should stay below 1."""
    began = time.monotonic()
    played = training.play(row.model, training.data(row.data), row.settings, steps=row.steps)
    trained, limits = played.trained, range_of(played.trained)
    x = test_rows(trained)
    coded = codes.compress(trained.model, x)
    errors = squared_errors(trained, limits, codes.decompress(trained.model, coded), x)
    setting, size_of_pca, rivals = best_pca(trained, limits, coded.words.nbytes)
    ratio, error = ratio_of_means(errors, rivals)
    facts = facts_of(trained)
    size, in_use = facts["codes"], facts["perplexity"]
    plan.write(
        "latent",
        name,
        row,
        max(ratio, size / 2 / in_use),
        "the larger of error over PCA's, K/2 over perplexity",
        spread=error,
        baselines={
            "error over PCA's": ratio,
            "squared error": errors.mean().item(),
            "bytes a row": coded.words.nbytes / len(x),
            f"PCA, {setting}": rivals.mean().item(),
            "PCA, bytes a row": size_of_pca / len(x),
            "perplexity": in_use,
            "codes": size,
        },
        budget=f"{row.steps} minibatches of {played.batch_size}, {played.seconds:.0f} s",
        seconds=time.monotonic() - began,
    )


def two_levels(name: str, row: plan.Row) -> None:
    """Measure the squared error of two levels over the error of one level that takes at least as many bits.

    Raises ConfigError if no rival takes as many bits.
    """
    began, dataset = time.monotonic(), training.data(row.data)
    played = training.play(row.model, dataset, row.settings, steps=row.steps)
    ours, seconds, rivals = code(played.trained), played.seconds, {}
    print(f"two levels: {ours}", flush=True)
    for size in row.options["rivals"]:
        settings = {**row.settings, "model.codes": size, "model.scales": row.options["scales"]}
        one = training.play(row.options["rival"], dataset, settings, steps=row.steps)
        rivals[f"one level of {size} codes"], seconds = code(one.trained), max(seconds, one.seconds)
        print(f"one level of {size} codes: {rivals[f'one level of {size} codes']}", flush=True)
    taking = {who: rival for who, rival in rivals.items() if rival.bits >= ours.bits}
    if not taking:
        raise ConfigError(f"{name}: two levels take {ours.bits:.0f} bits, more than any rival; give a larger one")
    rival = min(taking, key=lambda who: taking[who].bits)
    ratio, error = ratio_of_means(ours.errors, taking[rival].errors)
    found: dict[str, float] = {}
    for who, coder in {"two levels": ours, **rivals}.items():
        found |= {f"{who}, squared error": coder.errors.mean().item(), f"{who}, bits as coded": coder.bits}
        found |= {f"{who}, bits of grids": coder.grid_bits, f"{who}, parameters": coder.parameters}
    plan.write(
        "latent",
        name,
        row,
        ratio,
        f"x the error of {rival}",
        spread=error,
        baselines=found,
        budget=f"{row.steps} minibatches of {played.batch_size}, {seconds:.0f} s at most",
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True)
class Coder:
    """The squared error and the size of test rows that a VQ-VAE has coded.

    errors       the squared error of each row, (rows,)
    bits         entropy-coded bits of a row, without tables and header
    grid_bits    bits of a row if each code takes log2 K bits
    parameters   the number of the model's parameters, without its priors
    """

    errors: Tensor
    bits: float
    grid_bits: float
    parameters: int

    def __str__(self) -> str:
        return f"squared error {self.errors.mean():.5f}, {self.bits:.0f} bits of {self.grid_bits:.0f}"


def code(trained: Trained) -> Coder:
    """Compress the test rows by a model's codes, decompress them, and return their errors and sizes."""
    x, model = test_rows(trained), trained.model
    coded = codes.compress(model, x)
    positions = sum(math.prod(grid) for grid in coded.header["grids"])
    return Coder(
        errors=squared_errors(trained, range_of(trained), codes.decompress(model, coded), x),
        bits=8 * coded.words.nbytes / len(x),
        grid_bits=positions * math.log2(facts_of(trained)["codes"]),
        parameters=sum(parameter.numel() for parameter in model.objectives()[0].module.parameters()),
    )


def facts_of(trained: Trained) -> dict[str, float]:
    """Return {"codes": the size of the codebook, "perplexity": of the codes of all test rows} of a model."""
    found = watched(trained, Noise(0))
    assert found is not None
    return found.numbers


def best_pca(trained: Trained, limits: Range, most: int) -> tuple[str, int, Tensor]:
    """Return (setting, bytes, errors (rows,)) of the PCA with the lowest error on test rows in at most `most` bytes.

    The bytes are those of the entropy-coded symbols of all test rows. limits: the range to which rows are clipped
    """
    x, found = test_rows(trained), []
    whole = principal.fit(trained.normal("train"), unit_of(trained))
    for r in COMPONENTS:
        model = whole.first(r)
        for step in STEPS:
            coded = latents.compress(model, x, model.even_grid(step))
            if coded.words.nbytes <= most:
                errors = squared_errors(trained, limits, latents.decompress(model, coded), x)
                found.append((errors.mean().item(), f"{r} components, step {step:.3g}", coded.words.nbytes, errors))
                break  # a wider step loses more
    return min(found, key=lambda one: one[0])[1:]
