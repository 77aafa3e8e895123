"""Where data come from: one module a source, and the two tables below. Nothing is imported by a string.

A source is a function `(noise, **options) -> Arrays`: its randomness is an argument, its options are the
`options:` of conf/data/NAME.yaml. A new source is one module here and a line in SOURCES; a toy whose
density is known has a line in LOG_DENSITIES as well, so that the gap to the truth can be reported.
"""

from collections.abc import Callable

import numpy as np

from pipelines.sources import digits, two_moons
from pipelines.sources.arrays import Arrays

SOURCES: dict[str, Callable[..., Arrays]] = {
    "digits": digits.digits,
    "two_moons": two_moons.two_moons,
}

LOG_DENSITIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "two_moons": two_moons.log_density,
}

__all__ = ["LOG_DENSITIES", "SOURCES", "Arrays"]
