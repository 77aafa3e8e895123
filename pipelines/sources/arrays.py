"""What a source gives: rows, their labels, and the names of the classes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Arrays:
    """x (rows, *event) as the world has it, y (rows,) integers that index `classes`."""

    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
