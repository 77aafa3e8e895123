"""What rows are called, so that people find them in their files: identifiers, paths of images, or indices."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

MOST_LETTERS = 80  # of an identifier; the rest of a longer one is cut off


def by_index(rows: int) -> dict[str, np.ndarray]:
    """Return `Arrays.names` for the rows of a file by their places in it: {"row": 0, 1, ..., as bytes}."""
    return {"row": np.arange(rows).astype(f"S{len(str(rows))}")}


def as_bytes(words: Collection[str | None]) -> np.ndarray:
    """Return identifiers as UTF-8 bytes, (rows,); an empty one for None, and at most MOST_LETTERS letters of each."""
    return np.array([(word or "")[:MOST_LETTERS].encode() for word in words])


def beside(names: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that identify rows, and then what is told of the rows.

    Both: {column: a value for each row}. A column of `names` whose name `told` has too gets the name NAME (data).
    """
    found: dict[str, Any] = {}
    for name, values in names.items():
        found[free(name, {*told, *found})] = values
    return found | dict(told)


def free(name: str, taken: Collection[str]) -> str:
    """Return a name for a column of the user's that is none of those in `taken`: the name itself, or NAME (data)."""
    while name in taken:
        name += " (data)"
    return name
