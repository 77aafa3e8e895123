"""VQ-VAEs by what they lose at equal bits.

    one_level   the larger of two ratios, both of which are to stay below 1: squared error over that of PCA in at most
                as many bytes of entropy-coded symbols, tables and header not counted; half of the codebook over its
                perplexity. PCA is of all training rows; these very test rows choose its components and step
    two_levels  squared error over that of one level whose grids, at log2 K bits a code, take as many bits

Of TEST_ROWS test rows, on the unit scale, clipped to the data's range. Spread is the standard error over rows of the
ratio of errors.
"""

import math
import time
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks import plan, training
from benchmarks.reconstructions import ratio_of_means
from gen_models.codecs import codes, latents, principal
from gen_models.noise import Noise
from pipelines.clipping import Range, range_of, squared_errors
from pipelines.compression import test_rows, unit_of
from pipelines.measuring.latents import latents as watched
from pipelines.trained import Trained

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
    """Squared error of two levels over that of options.rival."""
    began, dataset, seconds, batch = time.monotonic(), training.data(row.data), 0.0, 0
    found: dict[str, float] = {}
    errors: dict[str, Tensor] = {}
    for what, (model, changes) in {"two levels": (row.model, {}), "one level": row.options["rival"]}.items():
        settings: dict[str, Any] = {**row.settings, **changes}
        played = training.play(model, dataset, settings, steps=row.steps)
        errors[what], bits = loss_and_bits(played.trained)
        found |= {f"{what}, squared error": errors[what].mean().item(), f"{what}, bits of all grids": bits}
        found[f"{what}, parameters"] = sum(parameter.numel() for parameter in played.trained.model.parameters())
        coded = codes.compress(played.trained.model, test_rows(played.trained))
        found[f"{what}, bits a row as coded"] = 8 * coded.words.nbytes / coded.header["rows"]
        seconds, batch = max(seconds, played.seconds), played.batch_size
        print(f"{what}: squared error {errors[what].mean():.5f}, {seconds:.0f} s", flush=True)
    assert found["two levels, bits of all grids"] == found["one level, bits of all grids"]
    ratio, error = ratio_of_means(errors["two levels"], errors["one level"])
    plan.write(
        "latent",
        name,
        row,
        ratio,
        "x the error of one level",
        spread=error,
        baselines=found,
        budget=f"{row.steps} minibatches of {batch}, {seconds:.0f} s at most",
        seconds=time.monotonic() - began,
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


def loss_and_bits(trained: Trained) -> tuple[Tensor, float]:
    """The squared error of each row, and the bits of all its grids at log2 K a code."""
    x, model = test_rows(trained), trained.model
    grids = codes.codes_of(model, x)
    back: Tensor = codes.decompress(model, codes.compress(model, x))
    errors = squared_errors(trained, range_of(trained), back, x)
    return errors, sum(grid[0].numel() for grid in grids) * math.log2(facts_of(trained)["codes"])
