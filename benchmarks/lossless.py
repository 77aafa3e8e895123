"""Measures the rate of lossless coding with a VAE by bits back, against the rate that the model promises, -ELBO.

The net rate is the size of the coded test rows without the initial bits. The figure is the distance of the net rate
from -ELBO of the discretised model (gen_models/codecs/bits_back.py), in percent of -ELBO. It is written only if the
decoded rows equal the test rows. Beside it, in bits a dimension, are both rates, the whole file with its initial bits,
and the same rows as one PNG.
"""

import time

import torch

from benchmarks import plan, training
from gen_models.codecs import bits_back
from gen_models.codecs.container import parse
from gen_models.errors import DataError
from gen_models.noise import Noise
from pipelines.evaluation import png_and_jpeg
from pipelines.evaluation.compression_rates import ELBO_ROWS

ROWS = 500  # one at a time, at a seventh of a second each way


def lossless(name: str, row: plan.Row) -> None:
    """Measure the distance of the net rate from -ELBO in percent. Raises DataError if the decoded rows differ."""
    began = time.monotonic()
    played = training.play(row.model, training.data(row.data), row.settings, steps=row.steps)
    trained = played.trained
    x = trained.normal("test")[:ROWS]
    started = time.monotonic()
    compressed, rate = bits_back.compress(trained.model, x, Noise(0))
    file = compressed.as_bytes()
    there = time.monotonic() - started
    if not torch.equal(bits_back.decompress(trained.model, parse(file, name)), x):
        raise DataError("the rows that came back are not those that went in")
    elbo = sum(
        bits_back.expected_bits(trained.model, part, Noise(k)).sum().item() for k, part in enumerate(x.split(ELBO_ROWS))
    )
    plan.write(
        "latent",
        name,
        row,
        100 * abs(rate.net - elbo) / elbo,
        "% from -ELBO",
        spread=None,
        baselines={
            "net, bits a dimension": rate.net / x.numel(),
            "-ELBO, bits a dimension": elbo / x.numel(),
            "whole file, bits a dimension": 8 * len(file) / x.numel(),
            "PNG, bits a dimension": 8 * len(png_and_jpeg.png(x)) / x.numel(),
            "rows": len(x),
            "seconds of compression": round(there, 1),
            **row.options["published"],
        },
        budget=f"{row.steps} minibatches of {played.batch_size}, {played.seconds:.0f} s",
        seconds=time.monotonic() - began,
    )
