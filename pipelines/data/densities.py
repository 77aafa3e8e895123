"""Lists the exact log densities, in nats, of the sources that draw their rows from a known density.

With them, the stage `evaluate` reports by how many nats a model's negative log-likelihood exceeds the lowest possible.
"""

from collections.abc import Callable

import numpy as np

from pipelines.data.sources import interval, plane, two_moons
from pipelines.data.sources.gaussians import MIXTURES

LOG_DENSITIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "uniform": interval.uniform_log_density,
    "beta_5_5": interval.beta_5_5_log_density,
    "two_moons": two_moons.log_density,
    "rings": plane.rings_log_density,
    "checkerboard": plane.checkerboard_log_density,
    **{name: mixture.log_density for name, mixture in MIXTURES.items()},
}
