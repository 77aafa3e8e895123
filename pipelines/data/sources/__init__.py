"""Where data come from: one module a source, and the two tables below. Nothing is imported by a string.

A source is a function `(noise, **options) -> Arrays`: its randomness is an argument, its options are the
`options:` of conf/data/NAME.yaml. A new source is one module here and a line in SOURCES; a toy whose
density is known has a line in LOG_DENSITIES as well, so that the gap to the truth can be reported.
"""

from collections.abc import Callable

import numpy as np

from pipelines.data.sources import (
    array_files,
    csv_file,
    digits,
    factors,
    idx,
    image_folder,
    interval,
    mnist,
    parquet_file,
    plane,
    sklearn_tables,
    two_moons,
)
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.gaussians import MIXTURES

SOURCES: dict[str, Callable[..., Arrays]] = {
    "digits": digits.digits,
    "mnist": mnist.mnist,
    "fashion_mnist": mnist.fashion_mnist,
    "factors": factors.factors,
    "breast_cancer": sklearn_tables.breast_cancer,
    "wine": sklearn_tables.wine,
    "iris": sklearn_tables.iris,
    "uniform": interval.uniform,
    "beta_5_5": interval.beta_5_5,
    "two_moons": two_moons.two_moons,
    "rings": plane.rings,
    "checkerboard": plane.checkerboard,
    "pinwheel": plane.pinwheel,
    **{name: mixture.draw for name, mixture in MIXTURES.items()},
    # people's own, by options.path
    "image_folder": image_folder.image_folder,
    "npy": array_files.npy,
    "npz": array_files.npz,
    "csv": csv_file.csv_table,
    "parquet": parquet_file.parquet,
    "idx": idx.idx,
}

LOG_DENSITIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "uniform": interval.uniform_log_density,
    "beta_5_5": interval.beta_5_5_log_density,
    "two_moons": two_moons.log_density,
    "rings": plane.rings_log_density,
    "checkerboard": plane.checkerboard_log_density,
    **{name: mixture.log_density for name, mixture in MIXTURES.items()},
}

__all__ = ["LOG_DENSITIES", "SOURCES", "Arrays"]
