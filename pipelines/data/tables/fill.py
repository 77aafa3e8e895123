"""Fills missing numbers by training medians, and decides whether 32-bit numbers can hold a table."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gen_models.loader import Rows
from gen_models.table import FILL
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import Scratch

ROWS_AT_ONCE = 65_536
FINE = 1e-4  # a rounding to 32 bits moves a number by less than this share of its column's standard deviation


def with_medians(arrays: Arrays, train: np.ndarray) -> Arrays:
    """Return the rows of a table with its missing numbers filled, and the medians in its schema; other data unchanged.

    train: the row numbers of the training split, whose medians are used (0 if all of them are missing)
    """
    schema = arrays.schema
    if schema is None or all(column.missing != FILL for column in schema.columns):
        return arrays
    places = {column.name: arrays.columns.index(column.names[0]) for column in schema.columns if column.missing == FILL}
    medians: dict[str, float] = {}
    for column in schema.columns:
        if column.missing == FILL:
            place = places[column.name]
            there = np.concatenate([block[:, place] for block in _blocks(arrays.x, np.sort(train))])
            there = there[~np.isnan(there)]
            median = float(np.median(there)) if len(there) else 0.0
            step = 1.0 if column.kind in ("count", "time") else column.step
            medians[column.name] = round(median / step) * step if step else median
    scratch = Scratch(arrays.name or "table", arrays.x.nbytes)  # type: ignore[arg-type]
    for block in _blocks(arrays.x, np.arange(len(arrays.x))):
        for name, place in places.items():
            block[:, place] = np.where(np.isnan(block[:, place]), medians[name], block[:, place])
        scratch.write(block)
    filled = schema.filled([medians.get(column.name) for column in schema.columns])
    return replace(arrays, x=scratch.map(np.dtype(np.float64), arrays.x.shape), schema=filled)


def stored_type(arrays: Arrays, levels: int | None) -> np.dtype:
    """Return the type in which rows are stored: uint8 for grey levels, else float32, or float64 where that merges rows.

    levels: the number of grey levels, or None
    """
    if levels is not None:
        return np.dtype(np.uint8)
    if arrays.schema is None:
        return np.dtype(np.float32)
    size = np.zeros(len(arrays.columns))
    count, total, squares = 0, np.zeros(len(size)), np.zeros(len(size))
    shift = np.asarray(arrays.x[:1]).reshape(-1)
    for block in _blocks(arrays.x, np.arange(len(arrays.x))):
        size = np.maximum(size, np.abs(block).max(axis=0))
        count, total, squares = (
            count + len(block),
            total + (block - shift).sum(axis=0),
            squares + ((block - shift) ** 2).sum(axis=0),
        )
    std = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
    rounding = size * np.finfo(np.float32).eps
    return np.dtype(np.float32 if (rounding <= FINE * std + (std == 0)).all() and (size < 1e30).all() else np.float64)


def _blocks(x: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield copies of the given rows, whose pages of a mapped file are released in time."""
    read = Rows(x)
    for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
        yield read(rows[start : start + ROWS_AT_ONCE])
