"""Rate and distortion of a run that can compress, on test rows.

    bytes, bytes_a_row   size of the compressed file of all rows, with its tables, header and hash
    bits_per_dim         8 times the bytes, divided by how many numbers the rows have
    mse                  mean squared error of the decoded rows, for each number, on the unit scale; decoded rows are
                         clipped to the data's range
    mse_pca, mse_jpeg    lowest mse that PCA, or JPEG, reaches with at most as many bytes; null if not measured
    net, elbo            for bits back only, in bits for each dimension: the rate without the initial bits, and the
                         model's -ELBO, which that rate should reach

The methods:

    codes       the codes of a VQ-VAE, with each of its tables
    latents     the latents of any other bottleneck, rounded to a grid that is chosen with training rows
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
TEST_ROWS = 2_000  # no more, since bits back codes one row at a time
TRAIN_ROWS = 20_000  # rows to which grids and PCA are fitted
ELBO_ROWS = 16  # rows at a time: each needs memory for a number of each level of each dimension

Row = dict[str, Any]


def compression_rates(trained: Trained, seed: int) -> list[Row]:
    """Return a row for each method that the model allows and each of its settings; [] if it cannot compress."""
    return [row for method in methods_of(trained.model) for row in rates(trained, method, seed)]


def rates(trained: Trained, method: str, seed: int) -> Iterator[Row]:
    """Yield a row for each setting of a method."""
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
    """Return -ELBO of the discretised model, summed over the measured test rows, in bits."""
    parts = test_rows(trained).split(ELBO_ROWS)
    return sum(
        bits_back.expected_bits(trained.model, part, Noise(seed + k)).sum().item() for k, part in enumerate(parts)
    )


def measured(trained: Trained, limits: Range, setting: str, compressed: Compressed) -> Row:
    """Decode a compressed file, and return its row of the table."""
    method = compressed.header["method"]
    back = DECOMPRESS[method](trained.model, compressed)
    return row_of(trained, limits, (trained.run.key, method, setting), len(compressed.as_bytes()), back)


def test_rows(rows: RowsOf) -> Tensor:
    """Return the rows of the test split that are measured, not scaled; rows of a held-out class are left out."""
    return rows.normal("test")[:TEST_ROWS]


def row_of(rows: RowsOf, limits: Range, what: tuple[str, str, str], size: int, back: Tensor) -> Row:
    """Return one row of the table.

    what: (run or baseline, method, setting); size: bytes of the compressed file; back: the decoded test rows
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
