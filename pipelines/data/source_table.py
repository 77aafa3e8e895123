"""Lists the data sources that conf/data/NAME.yaml can name under `source:`. No name from a conf is imported.

A source is a function `(noise, **options) -> Arrays`. It takes all its randomness from `noise`, and its options are the
`options:` of conf/data/NAME.yaml. To add a source, write one module in sources/ and add a line here.
"""

from collections.abc import Callable

from pipelines.data.sources import (
    array_files,
    digits,
    factors,
    idx,
    image_folder,
    interval,
    mnist,
    mnist5k,
    plane,
    sklearn_tables,
    table,
    two_moons,
)
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.gaussians import MIXTURES

SOURCES: dict[str, Callable[..., Arrays]] = {
    "digits": digits.digits,
    "mnist": mnist.mnist,
    "mnist5k": mnist5k.mnist5k,
    "fashion_mnist": mnist.fashion_mnist,
    "factors": factors.factors,
    "breast_cancer": sklearn_tables.breast_cancer,
    "wine": sklearn_tables.wine,
    "iris": sklearn_tables.iris,
    "diabetes": sklearn_tables.diabetes,
    "uniform": interval.uniform,
    "beta_5_5": interval.beta_5_5,
    "two_moons": two_moons.two_moons,
    "rings": plane.rings,
    "checkerboard": plane.checkerboard,
    "pinwheel": plane.pinwheel,
    **{name: mixture.draw for name, mixture in MIXTURES.items()},
    # users' own data: options.path says where they are
    "image_folder": image_folder.image_folder,
    "npy": array_files.npy,
    "npz": array_files.npz,
    "table": table.table,
    "idx": idx.idx,
}
