"""Numbers that a caller passes: checked, and turned from numpy's or torch's numbers into Python's."""

from typing import Any

import numpy as np
from torch import Tensor

from gen_models.layers.arguments import require_positive, require_whole


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """Return the value as an int. Raises ConfigError unless it is a whole number of at least `least`."""
    value = _plain(value)
    require_whole(name, value, least=least)
    return value


def positive(name: str, value: Any) -> float:
    """Return the value as a number of Python. Raises ConfigError unless it is a finite number above 0."""
    value = _plain(value)
    require_positive(name, value)
    return value


def _plain(value: Any) -> Any:
    is_scalar = isinstance(value, np.generic | np.ndarray | Tensor) and value.ndim == 0
    return value.item() if is_scalar else value
