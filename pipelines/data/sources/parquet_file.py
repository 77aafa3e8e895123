"""Reads tables from Parquet files, in blocks of rows: columns of numbers, and a column of labels if one is named."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen_models.errors import DataError
from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.csv_file import chosen_columns, label_column
from pipelines.data.sources.files import (
    Scratch,
    locate,
    origin_of,
    require_file,
    require_sha256,
    shown,
    unreadable,
    why,
)
from pipelines.data.sources.labels import require_name

ROWS_AT_ONCE = 16_384


def parquet(
    noise: Noise,
    *,
    path: str,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    sha256: str | None = None,
) -> Arrays:
    """Read rows (rows, columns) float32 from a Parquet file.

    label: the column that holds the labels, or None; columns: the columns to take, in this order, or None for all;
    drop: columns to leave out; sha256: the hash that the file must have, or None
    """
    file = locate(path)
    origin = origin_of(file)
    require_sha256(sha256, origin["sha256"], file)
    header = read_schema(file)
    taken = chosen_columns(header, file, label=label, columns=columns, drop=drop)
    x, labels = read_numbers(file, taken, label=label)
    y, classes = (None, ()) if label is None else label_column(labels, len(x), file, label)
    return Arrays(x, y, classes, tuple(taken), origin=origin, name=shown(file))


def read_schema(path: Path) -> list[str]:
    """Return the names of the columns. Raises DataError if two are equal or one cannot be shown."""
    names = [field.name for field in _open(path).schema_arrow]
    for place, name in enumerate(names, start=1):
        require_name(name, f"{shown(path)}: column {place},")
        if names.count(name) > 1:
            raise DataError(f"{shown(path)}: two columns are named {name!r}; rename one")
    return names


def text_columns(path: Path) -> list[str]:
    """Return the names of the columns whose type is not numeric."""
    return [field.name for field in _open(path).schema_arrow if not _is_number(field.type)]


def read_numbers(
    path: Path, taken: Sequence[str], *, label: str | None = None, with_missing: bool = False
) -> tuple[np.ndarray, list[str]]:
    """Return x, (rows, columns) float32 mapped from disk, and the label of each row as text.

    with_missing: whether a missing number becomes NaN; if not, it is an error

    Raises DataError, with the row and the column, for a number that is missing.
    """
    table = _open(path)
    for name in taken:
        if not _is_number(kind := table.schema_arrow.field(name).type):
            raise DataError(
                f"{shown(path)}: column {name!r} is of type {kind}, not numbers; "
                f"write options.drop: [{name}], or options.label: {name}"
            )
    scratch = Scratch(path, table.metadata.num_rows * len(taken) * 4)
    labels: list[str] = []
    found, rows, missing = np.zeros(len(taken), dtype=bool), 0, None
    try:
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=[*taken, *([label] if label else [])]):
            values = np.stack([_numbers(batch.column(name)) for name in taken], axis=1)
            with np.errstate(over="ignore"):  # prepare refuses inf, with its row and column
                scratch.write(values.astype(np.float32))
            is_nan = np.isnan(values)
            found |= (~is_nan).any(axis=0)
            if missing is None and is_nan.any():
                row, column = np.argwhere(is_nan)[0]
                missing = (rows + int(row), taken[int(column)])
            if label is not None:
                labels += _labels(batch.column(label), rows, path, label)
            rows += len(batch)
    except (pa.ArrowException, OSError, OverflowError) as error:
        raise DataError(f"{shown(path)}: cannot be read ({why(error)}); write it again") from None
    if missing is not None and not with_missing:
        row, name = missing
        what = f"row {row}, column {name!r}: missing; fill it in, remove the row"
        if not found.all():
            name = taken[int((~found).argmax())]
            what = f"column {name!r} is missing in all {rows} rows; remove it"
        raise DataError(f"{shown(path)}: {what}, or write options.drop: [{name}]")
    return scratch.map(np.dtype(np.float32), (rows, len(taken))), labels


def _open(path: Path) -> pq.ParquetFile:
    require_file(path)
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, PermissionError):
            raise unreadable(path, error) from None
        raise DataError(f"{shown(path)}: not a Parquet file ({why(error)}); write it again") from None


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _numbers(column: pa.Array) -> np.ndarray:
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _labels(column: pa.Array, begin: int, path: Path, label: str) -> list[str]:
    values = column.to_pylist()
    for row, value in enumerate(values):
        if value is None or not str(value).strip():
            raise DataError(f"{shown(path)}: row {begin + row}, column {label!r}: no label; fill it in")
    return [str(value).strip() for value in values]
