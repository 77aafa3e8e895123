"""Errors for users: each is one line that names the file, row or key, the value, and the fix.

Callers of the library catch `GenModelsError`. The library itself uses `assert` for conditions that only a bug can
break.
"""

import re
import shlex
from collections.abc import Iterable
from difflib import get_close_matches


class GenModelsError(ValueError):
    """An error that the user can fix; the message is one line and says how."""


class ConfigError(GenModelsError):
    """A key, value or name in a configuration cannot be used."""


class DataError(GenModelsError):
    """A file, row or column of data cannot be used."""


class CheckpointError(GenModelsError):
    """A checkpoint folder is missing, incomplete or changed, or holds another model."""


class DivergedError(GenModelsError):
    """A loss is not finite: training stops, and earlier checkpoints stay valid."""


class RegistryError(GenModelsError):
    """The registry does not hold this model, version or alias."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return one line that says that a name is unknown, gives the nearest known name, and lists all known names.

    kind  what is named, such as "schedule"
    """
    options = sorted(known)
    near = [known for known in options if known.lower() == name.lower()]
    near = near or get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}: {hint}choose from {', '.join(options) or '(none)'}"


def option(name: str, value: str) -> str:
    """Return an option as it is typed in a shell, such as --label 'my label', or --missing=--x for a value that starts
    with -.

    The value must be printable.
    """
    return f"{name}{'=' if value.startswith('-') else ' '}{shlex.quote(value)}"


def one_line(text: object, *, most: int = 200) -> str:
    """Return the text of an error, or any text, without line breaks and memory addresses, cut to `most` characters.

    If nothing is left, return the name of its type.
    """
    said = re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(text).split()))[:most]
    return said or type(text).__name__


def first_line(error: BaseException, *, most: int = 200) -> str:
    """Return the first line of an error's text, for errors whose other lines are SQL or a trace."""
    lines = str(error).strip().splitlines()
    return one_line(lines[0], most=most) if lines else type(error).__name__
