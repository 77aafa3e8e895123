"""Opens a file that holds a table, whatever its format, and yields its columns in blocks of rows.

    CSV, TSV, text    columns of text; the separator is found if it is not given
    Parquet           columns with types; a column of lists of equal length becomes one column for each position
    .npz, .npy        an array (rows, columns) of numbers, whose columns are named x[0], x[1], ...; a .npz may also have
                      labels, which are the column y

Nothing is unpickled, and at most a block of rows is in memory.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gen_models.errors import ConfigError, DataError
from pipelines.data.sources import array_files
from pipelines.data.sources.files import advice, require_file, shown, unreadable, why
from pipelines.data.sources.labels import require_name
from pipelines.data.tables import csv_text

ENDINGS = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".txt": "csv", ".data": "csv",
    ".parquet": "parquet", ".pq": "parquet", ".npz": "npz", ".npy": "npy",
}  # fmt: skip
ROWS_AT_ONCE = 65_536
FEATURES = ("x", "X", "data", "features", "arr_0", "images")  # usual names of the rows in an .npz
LABELS = ("y", "Y", "label", "labels", "target", "targets")
LEAST_PIXELS = 64
INDEX = "__index_level_0__"  # how pandas names an index that had no name


@dataclass(frozen=True)
class Reading:
    """How a table that is a text file is read.

    delimiter  the mark between cells; None: it is found by looking at the file
    decimal    the decimal mark; None: a point, or a comma if points stand between thousands, unless `formats_of`
               (propose.py) finds another for a new conf
    thousands  the mark between groups of three digits, "" for none; None: none, unless `formats_of` finds one
    encoding   the encoding of the text
    header     whether the first line names the columns
    missing    further words that mark a missing value
    """

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, known in (("delimiter", csv_text.DELIMITERS), ("decimal", ".,"), ("thousands", ["", *",.' "])):
            value = getattr(self, key)
            if value is not None and value not in tuple(known):
                raise ConfigError(f"options.{key}: {value!r} is not one of {', '.join(map(repr, known))}")
        if self.thousands and self.thousands == self.decimal:
            raise ConfigError(f"options.thousands: {self.thousands!r} cannot be the decimal mark too; give two marks")

    @property
    def point(self) -> str:
        """The decimal mark by which cells are read."""
        return self.decimal or ("," if self.thousands == "." else ".")

    def options(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults, as the `options:` of conf/data/NAME.yaml."""
        default = vars(Reading())
        found = {key: value for key, value in vars(self).items() if value != default[key]}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


@dataclass(frozen=True)
class Table:
    """A table whose columns are known and whose rows can be read.

    names    the names of the columns, in the file's order
    kind     "csv", "parquet", "npz" or "npy"
    index    the columns that hold the index of a pandas data frame, not data
    reading  how a text file is read, with its delimiter; None for other files
    rows     the number of rows, or None if only reading the file would tell
    lists    {column that holds lists: their length}
    """

    path: Path
    names: tuple[str, ...]
    kind: str
    index: tuple[str, ...] = ()
    reading: Reading | None = None
    rows: int | None = None
    lists: Mapping[str, int] = field(default_factory=dict)

    def blocks(self, names: list[str] | None = None) -> Iterator[dict[str, pa.Array]]:
        """Yield {column: its values} for one block of rows after another; names: the columns, or None for all."""
        wanted = list(self.names) if names is None else names
        if self.kind == "csv":
            assert self.reading is not None
            reading = self.reading
            return csv_text.blocks(
                self.path, self.names, wanted, reading.delimiter or ",", reading.encoding, reading.header
            )
        if self.kind == "parquet":
            return self._parquet_blocks(wanted)
        return self._array_blocks(wanted)

    def place(self, row: int) -> str:
        """Return the place of a row in words, for a message: "line 9" in a text file, "row 7" in other files.

        row: the number of the row; the first row is 0, in the message too, and the first line is 1
        """
        if self.kind != "csv":
            return f"row {row}"
        assert self.reading is not None
        line = csv_text.line_of(
            self.path, row, self.reading.delimiter or ",", self.reading.encoding, self.reading.header
        )
        return f"line {line}"

    def _parquet_blocks(self, wanted: list[str]) -> Iterator[dict[str, pa.Array]]:
        stored = {name: _stored_name(name, self.lists) for name in wanted}
        try:
            for batch in _parquet(self.path).iter_batches(ROWS_AT_ONCE, columns=sorted(set(stored.values()))):
                _require_lengths(batch, self.lists, self.path)
                yield {name: _column(batch, name, stored[name], self.path) for name in wanted}
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{shown(self.path)}: cannot be read ({why(error)}); write it again") from None

    def _array_blocks(self, wanted: list[str]) -> Iterator[dict[str, pa.Array]]:
        arrays = _arrays(self.path)
        x, y = arrays["x"], arrays.get("y")
        for start in range(0, len(x), ROWS_AT_ONCE):
            stop = start + ROWS_AT_ONCE
            rows = np.asarray(x[start:stop])
            block = {f"x[{k}]": rows[:, k] for k in range(rows.shape[1]) if f"x[{k}]" in wanted}
            if y is not None and "y" in wanted:
                block["y"] = np.asarray(y[start:stop])
            yield {name: pa.array(_native(block[name])) for name in wanted}


def kind_of(path: Path) -> str | None:
    """Return "csv", "parquet", "npz" or "npy" by a file's ending, in upper or lower case; None for other endings."""
    return ENDINGS.get(path.suffix.lower())


def open_table(path: Path, reading: Reading | None = None) -> Table:
    """Open a file as a table; reading: how a text file is read, None for the defaults.

    Raises DataError, which names the file and often the line, if the file is not a table.
    """
    kind, reading = kind_of(path), reading or Reading()
    require_file(path)
    if kind == "csv":
        delimiter = reading.delimiter or csv_text.delimiter_of(path, reading.encoding)
        names = csv_text.header_of(path, delimiter, reading.encoding, reading.header)
        found = Reading(**{**vars(reading), "delimiter": delimiter})
        index = tuple(name for name in names if name.startswith("Unnamed: ") or name == csv_text.FIRST)
        return Table(path, tuple(names), kind, index, found)
    if kind == "parquet":
        return _open_parquet(path)
    if kind in ("npz", "npy"):
        arrays = _arrays(path)
        if arrays["x"].ndim != 2 or not arrays["x"].shape[1]:
            raise DataError(
                f"{shown(path)}: an array of shape {arrays['x'].shape}; a table has rows and columns: save "
                "x.reshape(len(x), -1)"
            )
        names = [f"x[{k}]" for k in range(arrays["x"].shape[1])] + (["y"] if "y" in arrays else [])
        return Table(path, tuple(names), kind, rows=len(arrays["x"]))
    raise DataError(f"{shown(path)}: not a table that is known by its ending{advice(path)}; give {', '.join(ENDINGS)}")


def is_table(path: Path) -> bool:
    """Return whether a .npz or .npy file holds an array (rows, columns) of numbers that are not pixels.

    An array of uint8 with at least LEAST_PIXELS columns is taken for pixels.
    """
    x = _arrays(path)["x"]
    return x.ndim == 2 and (x.dtype != np.uint8 or x.shape[1] < LEAST_PIXELS)


def names_in(path: Path) -> tuple[str, str | None]:
    """Return (the name of the array of rows in a .npz file, the name of the array of labels or None).

    They are found by usual names such as X and y; a single array is the rows, whatever its name. Raises DataError if
    the rows cannot be found.
    """
    there = array_files.names_in_npz(path)
    x_name = next((name for name in FEATURES if name in there), there[0] if len(there) == 1 else None)
    if x_name is None:
        raise DataError(
            f"{shown(path)}: its arrays are {', '.join(there)}; save the rows as X and the labels, if any, as y: "
            "numpy.savez(path, X=rows, y=labels)"
        )
    return x_name, next((name for name in LABELS if name in there), None)


def _open_parquet(path: Path) -> Table:
    file = _parquet(path)
    names: list[str] = []
    lists: dict[str, int] = {}
    for place, column in enumerate(file.schema_arrow, start=1):
        require_name(column.name, f"{shown(path)}: column {place},")
        if column.name in names:
            raise DataError(f"{shown(path)}: two columns are named {column.name!r}; rename one")
        if (
            pa.types.is_list(column.type)
            or pa.types.is_large_list(column.type)
            or pa.types.is_fixed_size_list(column.type)
        ):
            lists[column.name] = _length(file, column.name, path)
            names += [f"{column.name}[{k}]" for k in range(lists[column.name])]
        else:
            names.append(column.name)
    if not names:
        raise DataError(f"{shown(path)}: no columns; give a table with at least one")
    return Table(path, tuple(names), "parquet", _index_columns(file), None, file.metadata.num_rows, lists)


def _index_columns(file: pq.ParquetFile) -> tuple[str, ...]:
    """Return the columns that pandas stored as the index of the frame."""
    notes = (file.schema_arrow.metadata or {}).get(b"pandas")
    names = file.schema_arrow.names
    try:
        known = json.loads(notes)["index_columns"] if notes else []
    except (ValueError, KeyError, TypeError):
        known = []
    return tuple(name for name in names if name in [k for k in known if isinstance(k, str)] or name == INDEX)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, PermissionError):
            raise unreadable(path, error) from None
        raise DataError(f"{shown(path)}: not a Parquet file ({why(error)}); write it again") from None


def _length(file: pq.ParquetFile, name: str, path: Path) -> int:
    """Return the length of the lists in a column: that of the first list that is not empty."""
    try:
        for batch in file.iter_batches(1, columns=[name]):
            first = batch.column(0)[0].as_py()
            if first:
                return len(first)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{shown(path)}: cannot be read ({why(error)}); write it again") from None
    raise DataError(f"{shown(path)}: column {name!r} holds lists, and the first is empty; give lists of one length")


def _stored_name(name: str, lists: Mapping[str, int]) -> str:
    for column in lists:
        if name.startswith(f"{column}[") and name.endswith("]") and name[len(column) + 1 : -1].isdigit():
            return column
    return name


def _column(batch: pa.RecordBatch, name: str, stored: str, path: Path) -> pa.Array:
    column = batch.column(batch.schema.get_field_index(stored))
    if name == stored:
        if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):  # pandas writes text so
            return column.cast(pa.string())
        if pa.types.is_float16(column.type):  # Arrow does not compute with it
            return column.cast(pa.float32())
        return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return pc.list_element(column, int(name[len(stored) + 1 : -1]))


def _require_lengths(batch: pa.RecordBatch, lists: Mapping[str, int], path: Path) -> None:
    """Raise DataError unless all lists of a column have the same length; lists: {column: that length}."""
    for name, length in lists.items():
        if (place := batch.schema.get_field_index(name)) < 0:
            continue
        found = pc.unique(pc.list_value_length(batch.column(place))).to_pylist()
        other = next((other for other in found if other != length), length)
        if other != length:
            raise DataError(
                f"{shown(path)}: column {name!r} holds lists of more than one length, {length} and {other}; make them "
                "equally long, or remove the column"
            )


def _native(values: np.ndarray) -> np.ndarray:
    """Return an array that Arrow computes with: contiguous, in the machine's byte order, of types that it has."""
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "backslashreplace")
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        return np.ascontiguousarray(values, dtype=np.float64)
    dtype = np.dtype(np.float32) if values.dtype.itemsize == 2 and values.dtype.kind == "f" else values.dtype
    return np.ascontiguousarray(values, dtype=dtype.newbyteorder("="))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return {"x": rows of numbers, "y": labels} of an .npz or .npy file, mapped from disk where that can be."""
    if path.suffix.lower() == ".npy":
        found = {"x": array_files.read_npy(path)}
    else:
        x_name, y_name = names_in(path)
        read = array_files.read_npz(path, [x_name, *([y_name] if y_name else [])], needed=x_name)
        found = {"x": read[x_name]} | ({"y": read[y_name]} if y_name else {})
    if not found["x"].ndim:
        raise DataError(f"{shown(path)}: one number, not rows; save them with numpy.save(path, rows)")
    if "y" in found:
        found["y"] = found["y"].reshape(-1) if found["y"].size == len(found["x"]) else found["y"]
        if found["y"].shape != found["x"].shape[:1]:
            raise DataError(
                f"{shown(path)}: labels of shape {found['y'].shape} for {len(found['x'])} rows; give one a row"
            )
    if found["x"].ndim == 1:
        found["x"] = found["x"][:, None]
    return found
