"""Measures the rate and the distortion of a run's model on test rows, if the model can compress.

The result for one method and one of its settings is a record, a dictionary with these keys:

    bytes, bytes_a_row   size of one compressed file of all test rows, with its tables, header and hash; the same
                         divided by the number of rows
    bits_per_dim         8 times the bytes, divided by how many numbers all rows together hold
    mse                  mean over rows and their numbers of the squared error of the decoded rows, which are first
                         clipped to the data's range; on the unit scale: x/(q - 1) for q grey levels, else x
                         standardised by the training rows
    mse_pca, mse_jpeg    the lowest mse that PCA, or JPEG, reaches with at most as many bytes; null if not measured
    net, elbo            for bits back only, in bits for each number of a row: the rate without the initial bits (the
                         noise with which the coder starts), and the model's -ELBO, which that rate should reach

The methods:

    codes       the codes of a VQ-VAE (indices into its codebook), once with each table of probabilities
    latents     the latents of any other bottleneck, rounded to a grid that is fitted to training rows
    bits_back   lossless coding with a VAE, for data on grey levels

The bytes of the model are not counted: it is sent once, for any number of rows.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from gen_models.codecs import bits_back, codes, latents
from gen_models.codecs.container import Compressed
from gen_models.codecs.methods import DECOMPRESS, methods_of
from gen_models.noise import Noise
from pipelines.evaluation.data_range import Range, range_of, squared_errors
from pipelines.evaluation.prepared_rows import RowsOf
from pipelines.evaluation.trained_run import Trained

STEPS = (0.25, 0.5, 1.0)  # the widths of a latent's grid cells, in its standard deviations
TEST_ROWS = 2_000  # at most so many are measured, since bits back codes one row at a time
TRAIN_ROWS = 20_000  # rows to which grids and PCA are fitted
ELBO_ROWS = 16  # rows at a time: each needs memory for one number per dimension and grey level

Row = dict[str, Any]


def compression_rates(trained: Trained, seed: int) -> list[Row]:
    """Return a record for each setting of each method that the model allows; [] if the model cannot compress."""
    return [row for method in methods_of(trained.model) for row in rates(trained, method, seed)]


def rates(trained: Trained, method: str, seed: int) -> Iterator[Row]:
    """Compress the test rows with each setting of a method, and yield the record of each."""
    model, x, limits = trained.model, test_rows(trained), range_of(trained)
    if method == codes.METHOD:
        for table in codes.TABLES:
            yield measured(trained, limits, f"table {table}", codes.compress(model, x, table=table))
    elif method == latents.METHOD:
        train = trained.normal("train")[:TRAIN_ROWS]
        for step in STEPS:
            found = latents.compress(model, x, latents.grid_of(model, train, step))
            yield measured(trained, limits, f"step {step:g}", found)
    else:
        compressed, rate = bits_back.compress(model, x, Noise(seed))
        row = measured(trained, limits, "without loss", compressed)
        yield row | {"net": rate.net / x.numel(), "elbo": promised(trained, seed) / x.numel()}


def promised(trained: Trained, seed: int) -> float:
    """Return the bits that bits back should need for the measured test rows, without the initial bits.

    It is the sum over rows of -ELBO, for the model with a probability for each grey level (bits_back.expected_bits).
    """
    parts = test_rows(trained).split(ELBO_ROWS)
    return sum(
        bits_back.expected_bits(trained.model, part, Noise(seed + k)).sum().item() for k, part in enumerate(parts)
    )


def measured(trained: Trained, limits: Range, setting: str, compressed: Compressed) -> Row:
    """Decode a compressed file of the test rows, and return its record. setting: the setting's name in the record"""
    method = compressed.header["method"]
    back = DECOMPRESS[method](trained.model, compressed)
    return row_of(trained, limits, (trained.run.key, method, setting), len(compressed.as_bytes()), back)


def test_rows(rows: RowsOf) -> Tensor:
    """Return the test rows that are compressed, in the data's units: the first TEST_ROWS that are no anomalies."""
    return rows.normal("test")[:TEST_ROWS]


def row_of(rows: RowsOf, limits: Range, what: tuple[str, str, str], size: int, back: Tensor) -> Row:
    """Return the record of one compressed file.

    what: (name of the run or baseline, method, setting)
    size: bytes of the compressed file; back: the decoded test rows, in the data's units
    """
    x = test_rows(rows)
    who, method, setting = what
    return {
        "run": who,
        "data": rows.data.name,
        "method": method,
        "setting": setting,
        "rows": len(x),
        "dims": x[0].numel(),
        "bytes": size,
        "bytes_a_row": size / len(x),
        "bits_per_dim": 8 * size / x.numel(),
        "mse": squared_errors(rows, limits, back, x).mean().item(),
        "mse_pca": None,
        "mse_jpeg": None,
        "net": None,
        "elbo": None,
    }
