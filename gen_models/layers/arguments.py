"""Checks of the arguments that a configuration passes to a constructor.

An error is one line that names the key, the value and the fix.
"""

import math
from collections.abc import Iterable

from gen_models.errors import ConfigError, unknown


def require_whole(key: str, value: object, *, least: int = 1) -> None:
    """Raise ConfigError unless value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{key} = {value!r} cannot be used: give a whole number of at least {least}")


def require_positive(key: str, value: float) -> None:
    """Raise ConfigError unless value is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"{key} = {value!r} cannot be used: give a finite number above 0")


def require_widths(key: str, widths: object) -> None:
    """Raise ConfigError unless widths is a list of whole numbers of at least 1; it may be empty (a linear map)."""
    if isinstance(widths, str) or not isinstance(widths, Iterable):
        such = [widths] if isinstance(widths, int) else [8]
        raise ConfigError(f"{key} = {widths!r} cannot be used: give a list of whole numbers, such as {such}")
    for i, width in enumerate(widths):
        require_whole(f"{key}[{i}]", width)


def require_shape(event_shape: object) -> None:
    """Raise ConfigError unless event_shape is a list of at least one whole number, each at least 1."""
    require_widths("event_shape", event_shape)
    if not event_shape:
        raise ConfigError("event_shape = [] cannot be used: a row needs at least one axis, as in [1]")


def require_choice(key: str, value: str, known: Iterable[str]) -> None:
    """Raise ConfigError unless value is one of the known names."""
    known = list(known)
    if value not in known:
        raise ConfigError(unknown(key, value, known))
