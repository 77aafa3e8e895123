"""The value that a data source returns: rows, and what is known about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gen_models.errors import ConfigError
from gen_models.table import Schema

USUAL_SIDE = 64  # pixels of an image's longer side; trainings of larger images take more than minutes


@dataclass(frozen=True)
class Factors:
    """The factors, such as an angle, from which a generator made each row; values: (rows, len(names)) float32."""

    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True)
class Arrays:
    """The rows of a data source.

    x        (rows, *event), unscaled; may be mapped from a file that is larger than memory, so read it in blocks
    y        (rows,) integers that index `classes`; None for rows without labels, and `classes` is then empty
    columns  the names of a table's columns, whose units may differ; x is then (rows, len(columns))
    factors  the factors from which a generator made the rows, or None
    parts    {"train": indices of rows, "test": ...} if the source is divided already, else None
    origin   {"sha256", "files", "bytes"} of the files that were read; not their path, which depends on the machine
    name     how errors name the rows: a path, or "" where the source's name is enough
    schema   how the columns of a user's table became the numbers of x, else None; with a schema, x is NaN where a
             number is missing that `prepare` fills later
    reading  {option: value} with which a table that is a text file was read, without options at their defaults
    ids      the columns of a table that identify its rows
    masks    (rows, height, width) uint8, 1 where an image has a defect and 0 elsewhere; None if no row has a mask
    names    {column: (rows,) UTF-8 bytes} by which people find each row in their files: the path of an image in its
             folder, or a table's identifiers and `row`, its index; {} for rows that come from no file of the user's
    notes    sentences on what was left out or converted
    proposed {option: value} that conf/data/NAME.yaml should have in addition to the options that read these rows
    """

    x: np.ndarray
    y: np.ndarray | None
    classes: tuple[str, ...]
    columns: tuple[str, ...] = ()
    factors: Factors | None = None
    parts: Mapping[str, np.ndarray] | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    schema: Schema | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    masks: np.ndarray | None = None
    names: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    proposed: Mapping[str, Any] = field(default_factory=dict)


def require_rows(rows: Any, *, least: int = 2, most: int | None = None) -> None:
    """Raise ConfigError unless `options.rows` is a whole number between `least` and `most`."""
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < least:
        raise ConfigError(f"options.rows: {rows!r} is not a number of rows; give an integer of at least {least}")
    if most is not None and rows > most:
        raise ConfigError(f"options.rows: {rows} rows are more than the {most} that differ; give at most {most}")
