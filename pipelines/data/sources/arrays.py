"""What a source gives: rows, and what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gen_models.errors import ConfigError


@dataclass(frozen=True)
class Factors:
    """What a generator made each row of: values (rows, len(names)) float32."""

    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True)
class Arrays:
    """x (rows, *event) as the world has it, y (rows,) integers that index `classes`.

    x        may be mapped from a file that is larger than memory: read it in blocks
    y        None of rows without labels; `classes` is then empty
    columns  the names of a table's columns, whose units may differ: x is (rows, len(columns))
    parts    {"train": row numbers, "test": ...}, the source's own division; None where the rows are one heap
    origin   {"sha256", "files", "bytes"} of what was read; not its path, which says something of a machine only
    name     what an error calls the rows: a path, or nothing where the source's name says enough
    """

    x: np.ndarray
    y: np.ndarray | None
    classes: tuple[str, ...]
    columns: tuple[str, ...] = ()
    factors: Factors | None = None
    parts: Mapping[str, np.ndarray] | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""


def require_rows(rows: Any, *, least: int = 2, most: int | None = None) -> None:
    """Raise ConfigError unless `options.rows` is a number of rows."""
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < least:
        raise ConfigError(f"options.rows: {rows!r} is not a number of rows; give an integer of at least {least}")
    if most is not None and rows > most:
        raise ConfigError(f"options.rows: {rows} rows are more than the {most} that differ; give at most {most}")
