"""Reads the rows that a command takes, from .npy, (rows, D) or (rows, *event), from .csv with a header, or .parquet.

Numbers are not scaled. If the model was trained on a table, the columns are taken by their names; the file may have
them in any order, and may have others.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.errors import DataError, first_line
from pipelines.data.sources import csv_file, parquet_file

INPUTS = (".npy", ".csv", ".parquet")
LARGEST = float(np.finfo(np.float32).max)


def read_rows(path: Path, *, columns: Sequence[str] = (), event_shape: Sequence[int] | None = None) -> np.ndarray:
    """Read rows of numbers from a file, and return (rows, columns) float32.

    columns      the columns of the table on which the model was trained, which are taken by name; () for all
    event_shape  the shape that a row of a .npy file must have if it has more than one axis

    Raises DataError, with the file and the place in it, for rows that cannot be used.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix not in INPUTS:
        raise DataError(f"{path}: expected a file of rows that ends with {' or '.join(INPUTS)}")
    if path.suffix == ".npy":
        rows = _read_npy(path, event_shape)
    elif columns or path.suffix == ".parquet":
        rows = _read_columns(path, columns)
    else:
        rows = _read_csv(path)
    if rows.size and (size := float(np.abs(rows[np.isfinite(rows)]).max(initial=0.0))) > LARGEST:
        raise DataError(f"{path}: {size:g} is too large for 32-bit numbers; rescale the column that holds it")
    return rows.astype(np.float32)


def read_events(path: Path, facts: Mapping[str, Any]) -> Float[Tensor, "rows *event"]:
    """Read rows from a file and return them in the shape that a model takes.

    facts: those of `serving.answer`. Raises DataError if rows have another size or a number is not finite.
    """
    event = tuple(facts["event_shape"])
    rows = read_rows(path, columns=facts.get("columns", ()), event_shape=event)
    if rows.shape[1] != math.prod(event):
        raise DataError(
            f"{path}: {rows.shape[1]} columns; this model takes rows of {math.prod(event)} numbers, {event} flat"
        )
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise DataError(f"{path}, row {row}, column {column}: {rows[row, column]}; every number must be finite")
    return torch.from_numpy(rows).view(len(rows), *event)


def _read_columns(path: Path, columns: Sequence[str]) -> np.ndarray:
    table = parquet_file if path.suffix == ".parquet" else csv_file
    header = table.read_schema(path) if table is parquet_file else table.read_header(path)
    for name in columns:
        if name not in header:
            near = get_close_matches(name, header, n=1)
            hint = f", nor is it {near[0]!r}" if near else ""
            raise DataError(
                f"{path}: the model was fitted on column {name!r}, which is not there{hint}: it has "
                f"{', '.join(header[:20])}; name the columns as at the fit: {', '.join(columns[:20])}"
            )
    return table.read_numbers(path, list(columns) or header, with_missing=True)[0]


def _read_npy(path: Path, event_shape: Sequence[int] | None) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not an array that can be read ({first_line(error)})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise DataError(f"{path}: expected an array of real numbers, found {getattr(array, 'dtype', 'an archive')}")
    if array.ndim < 2:
        raise DataError(f"{path}: expected rows, shape (rows, columns), found shape {array.shape}")
    if event_shape is not None and array.ndim > 2 and array.shape[1:] != tuple(event_shape):
        raise DataError(
            f"{path}: rows of shape {array.shape[1:]}, this model takes {tuple(event_shape)}; resize or reshape them"
        )
    return np.asarray(array).reshape(len(array), math.prod(array.shape[1:]))


def _read_csv(path: Path) -> np.ndarray:
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not CSV in UTF-8 ({error}); save it as UTF-8 with commas between columns") from None
    if not lines:
        raise DataError(f"{path}: empty; expected a header line and rows of numbers")
    header, body = lines[0], [line for line in lines[1:] if line]
    if header and all(_is_number(cell) for cell in header):
        raise DataError(f"{path}, line 1: numbers where the names of the columns belong; add a header line")
    rows = np.empty((len(body), len(header)))
    for number, line in enumerate(body, start=2):
        if len(line) != len(header):
            raise DataError(f"{path}, line {number}: {len(line)} cells, the header has {len(header)}")
        for column, cell in zip(header, line, strict=True):
            if not _is_number(cell):
                raise DataError(f"{path}, line {number}, column {column!r}: {cell!r} is not a number")
        rows[number - 2] = [float(cell) for cell in line]
    return rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
