"""Fills missing numbers by training medians, and decides whether 32-bit numbers can hold a table."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gen_models.loader import Rows
from gen_models.table import FILL
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import Scratch

ROWS_AT_ONCE = 65_536
FINE = 1e-4  # 32 bits suffice if rounding moves each number by less than this fraction of its column's std


def with_medians(arrays: Arrays, train: np.ndarray) -> Arrays:
    """Fill a table's missing numbers with medians of the training rows; other data are returned unchanged.

    train: the indices of the training rows. A column that is missing in all of them is filled with 0.

    Returns the arrays with the filled rows, and with the medians in their schema.
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
    """Return the type in which rows are stored: uint8 for grey levels, otherwise float32 or float64.

    levels: the number of grey levels, or None. float64 is for a user's table in which float32 would round the numbers
    of a column too coarsely (see FINE) or which has numbers of 1e30 or more.
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
    """Yield copies of the rows with the indices `rows`, in blocks; what a mapped file holds in memory stays bounded."""
    read = Rows(x)
    for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
        yield read(rows[start : start + ROWS_AT_ONCE])
