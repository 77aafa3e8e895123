"""VQ-VAEs by what they lose at equal bits.

    one_level   the larger of two ratios, both of which are to stay below 1: squared error over that of PCA in at most
                as many bytes of entropy-coded symbols, tables and header not counted; half of the codebook over its
                perplexity. PCA is of all training rows; these very test rows choose its components and step
    two_levels  squared error over that of one level at no fewer bits: of options.rivals, sizes of its codebook on the
                bottom's grid alone, the one of least entropy-coded bits a row that takes at least as many. Grids of
                equal log2 K bits, of which two levels leave more unused, stand beside it

Of TEST_ROWS test rows, on the unit scale, clipped to the data's range. Spread is the standard error over rows of the
ratio of errors.
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
    """Squared error and perplexity, each against its limit."""
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
    """Squared error of two levels over that of one level, at equal bits."""
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
    """What a model of codes loses and takes.

    errors       of each row
    bits         a row, entropy-coded
    grid_bits    a row, at log2 K a code
    parameters   of all but the priors
    """

    errors: Tensor
    bits: float
    grid_bits: float
    parameters: int

    def __str__(self) -> str:
        return f"squared error {self.errors.mean():.5f}, {self.bits:.0f} bits of {self.grid_bits:.0f}"


def code(trained: Trained) -> Coder:
    """Test rows, through codes and back; symbols alone are counted, tables and header are not."""
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
    """codes and perplexity, of all test rows."""
    found = watched(trained, Noise(0))
    assert found is not None
    return found.numbers


def best_pca(trained: Trained, limits: Range, most: int) -> tuple[str, int, Tensor]:
    """Setting, bytes and errors of the rows of the PCA that loses least in at most so many bytes of symbols."""
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
