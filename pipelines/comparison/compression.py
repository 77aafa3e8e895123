"""compress: rate and distortion on test rows of every run that can compress, beside PCA, JPEG and PNG.

    bytes, bytes_a_row   of the whole file of all rows: tables, header and hash with it
    bits_per_dim         8 bytes over the numbers in the rows
    mse                  of what the decoder gives back, a number, on the unit scale, clipped to the data's range
    mse_pca, mse_jpeg    the least that PCA, or JPEG, reaches in at most as many bytes, or null
    net, elbo            of bits back, bits a dimension without the initial bits, and what the model promises: -ELBO

    codes       a VQ-VAE's, under both of its tables          bits_back   a VAE's of data on levels, without loss
    latents     on a grid of STEPS, of any other bottleneck, the grid chosen by training rows

PCA goes through the same file with one step for all components, and its settings are chosen by these very test rows:
what is left of it is the front of all that were tried. JPEG and PNG are of one picture of all rows. A model's own
bytes, and PCA's directions, are not counted: they are sent once, however many rows follow.
"""

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gen_models.codecs import bits_back, codes, latents, principal
from gen_models.codecs.container import Compressed
from gen_models.codecs.latent_channel import LatentChannel
from gen_models.contracts import Decoder, Encoder, Reconstructor
from gen_models.errors import DataError
from gen_models.noise import Noise
from pipelines import config, figures
from pipelines.commands.compress import METHODS
from pipelines.evaluation import picture_files
from pipelines.evaluation.data_range import Range, range_of, squared_errors
from pipelines.evaluation.trained_run import Trained, open_trained
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, produce, run

STEPS = (0.25, 0.5, 1.0)  # of a latent's cell, in its standard deviations
QUALITIES = (1, 5, 10, 15, 25, 35, 50, 65, 75, 85, 95)  # of JPEG
TEST_ROWS = 2_000  # bits back asks for one row at a time
TRAIN_ROWS = 20_000  # that grids and PCA are fitted on
# On the unit scale; few digits, as the header has them.
PCA_STEPS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6)
COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
ELBO_ROWS = 16  # at a time: a number of each level for each of their dimensions

Row = dict[str, Any]


def main(argv: list[str]) -> None:
    no_argument(argv, "compress", __doc__)
    params = config.params()
    rows: list[Row] = []
    with produce(paths.out("compress")) as folder:
        for line in params.runs.values():
            trained = open_trained(line)
            if not (methods := methods_of(trained.model)):
                continue
            if all(row["data"] != line.data for row in rows):
                rows += baselines(trained)
            beside = [row for row in rows if row["data"] == line.data]
            for method in methods:
                rows += [row | reached(beside, row["bytes"]) for row in rates(trained, method, params.seed)]
        (folder / "scores.json").write_text(json.dumps(rows, indent=1) + "\n")
        for data in dict.fromkeys(row["data"] for row in rows):
            mine = [row for row in rows if row["data"] == data]
            figures.rate_distortion(mine, folder / f"rates-{data}.png", title=f"{data}: {mine[0]['rows']:,} test rows")
    for row in rows:
        print(
            f"{row['run']} {row['method']} {row['setting']}: {row['bytes_a_row']:.2f} bytes a row, MSE {row['mse']:.5f}"
        )


def methods_of(model: object) -> tuple[str, ...]:
    """What a model compresses by: its codes, or its bottleneck, with bits back before it where it can."""
    if isinstance(model, codes.Coded):
        return (codes.METHOD,)
    if not (isinstance(model, Encoder) and isinstance(model, Decoder) and isinstance(model, Reconstructor)):
        return ()
    try:
        LatentChannel(model, 2)
    except DataError:
        return (latents.METHOD,)
    return (bits_back.METHOD, latents.METHOD)


def rates(trained: Trained, method: str, seed: int) -> Iterator[Row]:
    """A row for each setting of a method."""
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
    """-ELBO of the discretised model of all test rows, in bits."""
    parts = test_rows(trained).split(ELBO_ROWS)
    return sum(
        bits_back.expected_bits(trained.model, part, Noise(seed + k)).sum().item() for k, part in enumerate(parts)
    )


def measured(trained: Trained, limits: Range, setting: str, compressed: Compressed, model: Any = None) -> Row:
    """A row of the table, of what the decoder makes of the file."""
    method = compressed.header["method"]
    back = METHODS[method](model or trained.model, compressed)
    who = trained.run.key if model is None else "pca"
    return _row(trained, limits, (who, method, setting), len(compressed.as_bytes()), back)


def baselines(trained: Trained) -> list[Row]:
    """PCA's front, and JPEG and PNG of rows that are pictures."""
    x, limits, levels = test_rows(trained), range_of(trained), trained.data.levels
    rows = front_of(list(pca(trained, limits)))
    if levels is not None and picture_files.can_be_pictured(trained.data.event_shape, levels):
        for quality in QUALITIES:
            data, back = picture_files.jpeg(x, levels, quality)
            rows.append(_row(trained, limits, ("jpeg", "jpeg", f"quality {quality}"), len(data), back))
        rows.append(_row(trained, limits, ("png", "png", "without loss"), len(picture_files.png(x)), x))
    return rows


def pca(trained: Trained, limits: Range) -> Iterator[Row]:
    """A row for each number of components and each step."""
    train, x = trained.normal("train")[:TRAIN_ROWS], test_rows(trained)
    whole = principal.fit(train, unit_of(trained))
    most = len(whole.directions)
    for r in sorted({min(r, most) for r in COMPONENTS}):
        model = whole.first(r)
        for step in PCA_STEPS:
            found = latents.compress(model, x, model.even_grid(step))
            yield measured(trained, limits, f"{r} components, step {step:g}", found, model)


def unit_of(trained: Trained) -> Tensor:
    """What a difference of 1 on the unit scale is as stored: all levels, or the standard deviation of a number."""
    shape, levels = trained.data.event_shape, trained.data.levels
    if levels is not None:
        return torch.full(shape, levels - 1.0)
    std = torch.as_tensor(trained.data.manifest["statistics"]["std"], dtype=torch.float32)
    return torch.where(std > 0, std, 1.0).expand(shape).clone()


def front_of(rows: list[Row]) -> list[Row]:
    """Those that none beats in both, the smallest file first."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["bytes"], row["mse"])):
        if not kept or row["mse"] < kept[-1]["mse"]:
            kept.append(row)
    return kept


def test_rows(trained: Trained) -> Tensor:
    """Rows of the test split that are measured, as stored."""
    return trained.normal("test")[:TEST_ROWS]


def _row(trained: Trained, limits: Range, what: tuple[str, str, str], size: int, back: Tensor) -> Row:
    x = test_rows(trained)
    run_, method, setting = what
    return {
        "run": run_,
        "data": trained.run.data,
        "method": method,
        "setting": setting,
        "rows": len(x),
        "dims": x[0].numel(),
        "bytes": size,
        "bytes_a_row": size / len(x),
        "bits_per_dim": 8 * size / x.numel(),
        "mse": squared_errors(trained, limits, back, x).mean().item(),
        "mse_pca": None,
        "mse_jpeg": None,
        "net": None,
        "elbo": None,
    }


def reached(beside: list[Row], size: int) -> dict[str, float | None]:
    """The least error of PCA and of JPEG in at most `size` bytes; None where none is so small."""
    return {
        f"mse_{who}": min((row["mse"] for row in beside if row["run"] == who and row["bytes"] <= size), default=None)
        for who in ("pca", "jpeg")
    }


if __name__ == "__main__":
    run(main)
