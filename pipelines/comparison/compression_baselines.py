"""Measures compression without a network: PCA, and JPEG and PNG for images. compression_rates.py describes the records.

PCA's components are rounded to a grid and written by the same codec as a model's latents. The step, the distance
between neighbouring values of the grid, is the same for all components. Of all settings that are tried (number of
components and step), those on the rate-distortion front are kept: no other has both a smaller file and a smaller error.
Since the test rows themselves decide which are kept, the choice favours PCA. The bytes of PCA's directions are not
counted: they are sent once, for any number of rows. JPEG and PNG save one picture of all rows.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from gen_models.codecs import latents, principal
from gen_models.codecs.methods import DECOMPRESS
from pipelines.evaluation import png_and_jpeg
from pipelines.evaluation.compression_rates import TRAIN_ROWS, Row, row_of, test_rows
from pipelines.evaluation.data_range import Range, range_of
from pipelines.evaluation.prepared_rows import RowsOf

QUALITIES = (1, 5, 10, 15, 25, 35, 50, 65, 75, 85, 95)  # of JPEG
# Steps on the unit scale. They have few digits, because they are written into the file's header.
PCA_STEPS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6)
COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def compression_baselines(data: RowsOf) -> list[Row]:
    """Return the records of PCA's rate-distortion front, the smallest file first, then those of JPEG and PNG."""
    x, limits, levels = test_rows(data), range_of(data), data.data.levels
    rows = front_of(list(pca(data, limits)))
    if levels is not None and png_and_jpeg.can_be_pictured(data.data.event_shape, levels):
        for quality in QUALITIES:
            file, back = png_and_jpeg.jpeg(x, levels, quality)
            rows.append(row_of(data, limits, ("jpeg", "jpeg", f"quality {quality}"), len(file), back))
        rows.append(row_of(data, limits, ("png", "png", "without loss"), len(png_and_jpeg.png(x)), x))
    return rows


def pca(data: RowsOf, limits: Range) -> Iterator[Row]:
    """Yield a record of PCA for each number of components and each step. limits: the range to which rows are clipped"""
    train, x = data.normal("train")[:TRAIN_ROWS], test_rows(data)
    whole = principal.fit(train, unit_of(data))
    most = len(whole.directions)
    for r in sorted({min(r, most) for r in COMPONENTS}):
        model = whole.first(r)
        for step in PCA_STEPS:
            found = latents.compress(model, x, model.even_grid(step))
            method = found.header["method"]
            back = DECOMPRESS[method](model, found)
            yield row_of(data, limits, ("pca", method, f"{r} components, step {step:g}"), len(found.as_bytes()), back)


def unit_of(data: RowsOf) -> Tensor:
    """Return, for each number of a row, the difference in the data's units that is 1 on the unit scale.

    It is q - 1 for q grey levels, else the standard deviation of the number over training rows (1 if that is 0).
    """
    shape, levels = data.data.event_shape, data.data.levels
    if levels is not None:
        return torch.full(shape, levels - 1.0)
    std = torch.as_tensor(data.data.manifest["statistics"]["std"], dtype=torch.float32)
    return torch.where(std > 0, std, 1.0).expand(shape).clone()


def front_of(rows: list[Row]) -> list[Row]:
    """Return the records on the rate-distortion front, the smallest file first.

    A record is on the front if every other record whose file is at most as large has a larger error. Of records that
    are equal in both, one is kept.
    """
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["bytes"], row["mse"])):
        if not kept or row["mse"] < kept[-1]["mse"]:
            kept.append(row)
    return kept


def reached(beside: list[Row], size: int) -> dict[str, float | None]:
    """Return {"mse_pca", "mse_jpeg"}: the lowest error of PCA and of JPEG in files of at most `size` bytes.

    beside: records of the same data set, those of the baselines among them. A value is None if no file is so small.
    """
    return {
        f"mse_{who}": min((row["mse"] for row in beside if row["run"] == who and row["bytes"] <= size), default=None)
        for who in ("pca", "jpeg")
    }
