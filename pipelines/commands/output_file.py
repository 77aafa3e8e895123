"""Writes the answer of a command, block by block: as CSV to the terminal, or to a file.

The file appears only when it is complete.
"""

import csv
import io
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen_models.errors import DataError
from gen_models.files import replacing
from gen_models.table import from_json, word_of

BOOLEANS = (word_of(False), word_of(True))  # a flag of these two is a boolean where the file's format has them
Columns = Mapping[str, Sequence[Any] | np.ndarray]
Form = Callable[[np.ndarray], np.ndarray]


class Answer:
    """An answer that is being written: `write` adds rows, and `finish` completes it.

    CSV is written as it comes. The rows for .npy and .parquet stay in memory until `finish`, because the types in these
    files depend on all rows. A .npy file gets only the columns of numbers, with NaN for a missing number.

    output: the file's path, or None for the terminal; file: where bytes go, or None for the terminal
    form: a function that gives the rows of a .npy file their shape
    """

    def __init__(self, output: Path | None, file: BinaryIO | None, form: Form | None = None):
        self.output, self._file, self._form = output, file, form
        self.rows = 0
        self.columns: tuple[str, ...] = ()
        self.shape: tuple[int, ...] = ()  # of a row, if the file is complete and its rows got a form
        self._tables: list[pa.Table] = []

    def write(self, columns: Columns) -> None:
        """Add rows. columns: {name of a column: a value for each row}"""
        table = pa.table({name: _array(values) for name, values in columns.items()})
        is_first, self.columns = not self.columns, tuple(columns)
        self.rows += len(table)
        if self._file is None:
            print(_as_csv(table, header=is_first), end="")
        elif self.output is None or self.output.suffix == ".csv":
            self._file.write(_as_csv(table, header=is_first).encode())
        else:
            self._tables.append(table)

    def finish(self) -> None:
        """Write the rows that are still in memory."""
        if not self._tables or self._file is None or self.output is None:
            return
        table = pa.concat_tables(self._tables, promote_options="permissive")
        if self.output.suffix == ".parquet":
            pq.write_table(table, self._file)
            return
        kept = [name for name, column in zip(table.column_names, table.columns, strict=True) if _is_number(column.type)]
        parts = [table[name].to_numpy() for name in kept]
        rows = np.stack(parts, axis=1) if parts else np.zeros((self.rows, 0))
        if self._form is not None:
            rows = self._form(rows)
            self.shape = rows.shape[1:]
        np.save(self._file, rows, allow_pickle=False)
        self.columns = tuple(kept)

    def about(self) -> str:
        """Return in words what was written, such as "16 rows of x0, x1" or "16 rows of 1x8x8"."""
        names = ", ".join(self.columns[:6]) + (", ..." if len(self.columns) > 6 else "")
        return f"{self.rows} rows of {'x'.join(map(str, self.shape)) or names}"


@contextmanager
def answering(output: Path | None, form: Form | None = None) -> Iterator[Answer]:
    """Yield an answer that goes to the terminal if `output` is None, else to a file.

    The file appears, complete, when the context ends. form: a function that gives the rows of a .npy file their shape

    Raises DataError if the file cannot be written.
    """
    if output is None:
        answer = Answer(None, None)
        yield answer
        answer.finish()
        sys.stdout.flush()
        return
    with whole(output) as file:
        answer = Answer(output, file, form)
        yield answer
        answer.finish()
    print(f"{output}: {answer.about()}")


def as_rows(values: np.ndarray, facts: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return {column: a value for each row} for rows that a model made.

    For a model of a table, the columns are the table's, with its words and units. Otherwise their names are
    facts["columns"] or, if there are none, `name` with the numbers 0, 1, ... after it, such as x0, x1, ... for "x"; a
    single column is called `name`.

    values: (rows, numbers); facts: what the model knows of its training data, from registry.serving.facts_of
    """
    if "table" in facts:
        schema = from_json(facts["table"]["columns"])
        return {
            column.name: [None if word is None else word == BOOLEANS[1] for word in words]
            if column.kind == "flag" and column.values == BOOLEANS
            else words
            for column, words in zip(
                schema.columns, schema.decode(values, facts.get("statistics")).values(), strict=True
            )
        }
    width = values.shape[1]
    names = list(facts.get("columns", ())) or ([name] if width == 1 else [f"{name}{k}" for k in range(width)])
    return {column: values[:, k] for k, column in enumerate(names)}


def form_of(facts: Mapping[str, Any], given: tuple[int, ...] | None = None) -> Form | None:
    """Return a function that makes images of flat rows (rows, numbers); None if the model's data are not images.

    facts: as for `as_rows`; given: the shape that images have in the command's input, such as (height, width,
    channels), and then get in its output; None: the model's own, (channels, height, width)
    """
    event = tuple(facts["event_shape"])
    if len(event) != 3:
        return None
    shape = given or event

    def form(rows: np.ndarray) -> np.ndarray:
        x = rows.reshape(len(rows), *event)
        is_last = shape != event and shape == (*event[1:], event[0])
        return np.moveaxis(x, 1, -1) if is_last else x.reshape(len(x), *shape)

    return form


def save_rows(output: Path, rows: np.ndarray) -> None:
    """Write a .npy file in one step, so that it is complete or absent. Raises DataError if it cannot be written."""
    with whole(output) as file:
        np.save(file, rows, allow_pickle=False)


@contextmanager
def whole(output: Path) -> Iterator[BinaryIO]:
    """Yield a file that replaces `output` when the context ends without an error.

    Raises DataError if it cannot be written.
    """
    try:
        with replacing(output) as file, _of_others():
            yield file
    except OSError as error:
        fix = "" if output.parent.is_dir() else f"; first, mkdir -p {shlex.quote(str(output.parent))}"
        raise DataError(f"{output}: cannot be written ({error.strerror}){fix}") from None


@contextmanager
def _of_others() -> Iterator[None]:
    """Raise DataError for another file that cannot be opened; let the error of a write, which names no file, pass."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise DataError(f"{error.filename}: cannot be used ({error.strerror})") from None


def _array(values: Sequence[Any] | np.ndarray) -> pa.Array:
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return pa.array(values, from_pandas=True)  # NaN becomes an empty cell
    try:
        return pa.array(list(values))
    except OverflowError:  # a whole number beyond 64 bits
        with suppress(ValueError, OverflowError):
            return pa.array([None if value is None else float(value) for value in values])
    except pa.ArrowException:  # whole numbers and words in one column
        pass
    return pa.array([None if value is None else str(value) for value in values])


def _in_csv(column: pa.ChunkedArray) -> list[Any]:
    values = column.to_pylist()
    return [word_of(value) for value in values] if pa.types.is_boolean(column.type) else values


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _as_csv(table: pa.Table, *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(table.column_names)
    writer.writerows(zip(*(_in_csv(column) for column in table.columns), strict=True))
    return text.getvalue()
