"""Errors for people: one line that names the file, row or key, the value, and the fix.

Whoever calls the library catches `GenModelsError`; whoever works on it uses `assert` for what only
a bug can break.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class GenModelsError(ValueError):
    """Something that its user can mend; the message is one line and says how."""


class ConfigError(GenModelsError):
    """A key, value or name in a configuration that cannot be used."""


class DataError(GenModelsError):
    """A file, row or column of data that cannot be used."""


class CheckpointError(GenModelsError):
    """A checkpoint folder that is missing, torn, changed or of another model."""


class DivergedError(GenModelsError):
    """A loss that is not finite: training stops, what was saved before stays."""


class RegistryError(GenModelsError):
    """A model, version or alias that the registry does not hold."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that is not known: the nearest match, then all that exist."""
    options = sorted(known)
    near = get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}: {hint}choose from {', '.join(options) or '(none)'}"
