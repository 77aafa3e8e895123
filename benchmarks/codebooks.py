"""VQ-VAEs by what they lose at equal bits.

    one_level   the larger of two ratios, both of which are to stay below 1: squared error over that of PCA in at most
                as many bytes, through the codecs of gen_models/codecs; half of the codebook over its perplexity
    two_levels  squared error over that of one level whose grids, at log2 K bits a code, take as many bits

Of TEST_ROWS test rows, on the unit scale, clipped to the data's range.
"""

import math
import time
from typing import Any

from torch import Tensor

from benchmarks import plan, training
from gen_models.codecs import codes
from gen_models.noise import Noise
from pipelines.clipping import range_of, squared_errors
from pipelines.compression import front_of, measured, pca, test_rows
from pipelines.measuring.latents import latents
from pipelines.trained import Trained


def one_level(name: str, row: plan.Row) -> None:
    """Squared error and perplexity, each against its limit."""
    began = time.monotonic()
    played = training.play(row.model, training.data(row.data), row.settings, steps=row.steps)
    trained, limits = played.trained, range_of(played.trained)
    x = test_rows(trained)
    own = measured(trained, limits, "table empirical", codes.compress(trained.model, x))
    front = [linear for linear in front_of(list(pca(trained, limits))) if linear["bytes"] <= own["bytes"]]
    linear = min(front, key=lambda one: one["mse"])
    facts = facts_of(trained)
    size, in_use = facts["codes"], facts["perplexity"]
    plan.write(
        "latent",
        name,
        row,
        max(own["mse"] / linear["mse"], size / 2 / in_use),
        "the larger of error over PCA's, K/2 over perplexity",
        spread=None,
        baselines={
            "squared error": own["mse"],
            "bytes a row": own["bytes_a_row"],
            f"PCA, {linear['setting']}": linear["mse"],
            "PCA, bytes a row": linear["bytes_a_row"],
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
    for what, (model, changes) in {"two levels": (row.model, {}), "one level": row.options["rival"]}.items():
        settings: dict[str, Any] = {**row.settings, **changes}
        played = training.play(model, dataset, settings, steps=row.steps)
        errors, bits = loss_and_bits(played.trained)
        found |= {f"{what}, squared error": errors, f"{what}, bits of a grid": bits}
        coded = codes.compress(played.trained.model, test_rows(played.trained))
        found[f"{what}, bits a row as coded"] = 8 * len(coded.as_bytes()) / coded.header["rows"]
        seconds, batch = max(seconds, played.seconds), played.batch_size
        print(f"{what}: squared error {errors:.5f}, {seconds:.0f} s", flush=True)
    assert found["two levels, bits of a grid"] == found["one level, bits of a grid"]
    plan.write(
        "latent",
        name,
        row,
        found["two levels, squared error"] / found["one level, squared error"],
        "x the error of one level",
        spread=None,
        baselines=found,
        budget=f"{row.steps} minibatches of {batch}, {seconds:.0f} s at most",
        seconds=time.monotonic() - began,
    )


def facts_of(trained: Trained) -> dict[str, float]:
    """codes and perplexity, of all test rows."""
    found = latents(trained, Noise(0))
    assert found is not None
    return found.numbers


def loss_and_bits(trained: Trained) -> tuple[float, float]:
    """Mean squared error, and the bits of all grids of a row at log2 K a code."""
    x, model = test_rows(trained), trained.model
    grids = codes.codes_of(model, x)
    back: Tensor = codes.decompress(model, codes.compress(model, x))
    error = squared_errors(trained, range_of(trained), back, x).mean().item()
    return error, sum(grid[0].numel() for grid in grids) * math.log2(facts_of(trained)["codes"])
