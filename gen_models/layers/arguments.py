"""Checks of the arguments that a configuration passes to a constructor.

An error is one line that names the key, the value and the fix.
"""

import math
from collections.abc import Iterable, Sequence

from gen_models.errors import ConfigError, unknown


def require_whole(key: str, value: object, *, least: int = 1) -> None:
    """Raise ConfigError unless value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{key} = {value!r} cannot be used: give a whole number of at least {least}")


def require_positive(key: str, value: float) -> None:
    """Raise ConfigError unless value is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"{key} = {value!r} cannot be used: give a finite number above 0")


def require_widths(key: str, widths: Sequence[int]) -> None:
    """Raise ConfigError unless each width is a whole number of at least 1; an empty list (a linear map) is allowed."""
    for i, width in enumerate(widths):
        require_whole(f"{key}[{i}]", width)


def require_choice(key: str, value: str, known: Iterable[str]) -> None:
    """Raise ConfigError unless value is one of the known names."""
    known = list(known)
    if value not in known:
        raise ConfigError(unknown(key, value, known))
