"""Reads tables of numbers from CSV files: one header line, then a line for each row.

    options: {path: flowers.csv, label: species, drop: [id]}

A cell is a number with a decimal point. Nothing is guessed: a separator other than the comma is given as an option. If
the file seems to have another separator, decimal commas or another encoding, the error says so. Lines are read in
blocks, and an error in a cell names its line and column.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import ConfigError, DataError, unknown
from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays
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
from pipelines.data.sources.labels import classes_of, require_name

LINES_AT_ONCE = 4096
MOST_LINE = 1 << 20  # characters
SEPARATORS = (",", ";", "\t", "|")
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
UTF16 = (b"\xff\xfe", b"\xfe\xff")

Line = tuple[int, list[str]]  # (the line's number in the file, its cells)


def csv_table(
    noise: Noise,
    *,
    path: str,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    delimiter: str = ",",
    sha256: str | None = None,
) -> Arrays:
    """Read rows (rows, columns) float32 from a CSV file.

    label: the column that holds the labels, or None; columns: the columns to take, in this order, or None for all;
    drop: columns to leave out; sha256: the hash that the file must have, or None
    """
    file = locate(path)
    origin = origin_of(file)
    require_sha256(sha256, origin["sha256"], file)
    header = read_header(file, delimiter)
    taken = chosen_columns(header, file, label=label, columns=columns, drop=drop)
    x, labels = read_numbers(file, taken, delimiter=delimiter, label=label)
    y, classes = (None, ()) if label is None else label_column(labels, len(x), file, label)
    return Arrays(x, y, classes, tuple(taken), origin=origin, name=shown(file))


def read_header(path: Path, delimiter: str = ",") -> list[str]:
    """Return the names of the columns. Raises DataError if the first line is not a header."""
    if delimiter not in SEPARATORS:
        raise ConfigError(f"options.delimiter: {delimiter!r} is not one of {', '.join(map(repr, SEPARATORS))}")
    first = next(_lines(path, delimiter), None)
    if first is None:
        raise DataError(f"{shown(path)}: empty; expected a header line and rows of numbers")
    header = [cell.strip() for cell in first[1]]
    if len(header) == 1:
        for other in SEPARATORS:
            if other != delimiter and other in header[0]:
                raise DataError(
                    f"{shown(path)}, line 1: one column {_cut(header[0])}: the separator looks like {other!r}; "
                    f"write options.delimiter: {other!r}, or save with commas"
                )
    if all(_number(cell) is not None for cell in header):
        raise DataError(
            f"{shown(path)}, line 1: numbers where the names of the columns belong, {_cut(','.join(header))}; "
            "add a header line"
        )
    seen: set[str] = set()
    for place, name in enumerate(header, start=1):
        if not name:
            raise DataError(f"{shown(path)}, line 1: column {place} has no name; give it one")
        require_name(name, f"{shown(path)}, line 1: column {place},")
        if name in seen:
            raise DataError(f"{shown(path)}, line 1: two columns are named {_cut(name)}; rename one")
        seen.add(name)
    return header


def text_columns(path: Path, delimiter: str, most: int) -> list[str]:
    """Return the columns that hold text: a cell among the first `most` lines is neither a number nor missing."""
    header, text = read_header(path, delimiter), set()
    for number, (_, cells) in enumerate(_lines(path, delimiter)):
        if number > most:
            break
        if number and len(cells) == len(header):
            text |= {k for k, cell in enumerate(cells) if _is_text(cell)}
    return [header[k] for k in sorted(text)]


def chosen_columns(
    header: Sequence[str], path: Path, *, label: str | None, columns: Sequence[str] | None, drop: Sequence[str]
) -> list[str]:
    """Return the columns that become x, in the order of `columns`, or of the file if it is None.

    Raises ConfigError for an option of the wrong type, DataError for a column that is not in the header.
    """
    for key, names in (("columns", columns), ("drop", drop)):
        if names is not None and (not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names)):
            raise ConfigError(f"options.{key}: {names!r} is not a list of columns; write [{', '.join(header[:2])}]")
    if label is not None and not isinstance(label, str):
        raise ConfigError(f"options.label: {label!r} is not a column's name; write one of {', '.join(header[:9])}")
    wanted = {"label": [label] if label else [], "columns": list(columns or []), "drop": list(drop)}
    for key, names in wanted.items():
        for name in names:
            if name not in header:
                raise DataError(f"{shown(path)}: options.{key}: " + unknown("column", name, list(header)[:50]))
    taken = [name for name in (columns or header) if name != label and name not in drop]
    if not taken:
        raise DataError(f"{shown(path)}: no column is left of {', '.join(header[:9])}; take one from options.drop")
    return taken


def read_numbers(
    path: Path,
    taken: Sequence[str],
    *,
    delimiter: str = ",",
    label: str | None = None,
    with_missing: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """Return x, (rows, columns) float32 mapped from disk, and the label of each row as text.

    with_missing: whether a missing cell becomes NaN; if not, it is an error

    Raises DataError, with the line and the column, for a cell that cannot be read as a number.
    """
    lines = _lines(path, delimiter)
    header = [cell.strip() for cell in next(lines)[1]]
    places = [header.index(name) for name in taken]
    mark = None if label is None else header.index(label)
    scratch, labels, rows = Scratch(path), [], 0
    found = np.zeros(len(places), dtype=bool)
    missing: tuple[int, int] | None = None
    for block in _blocks(lines):
        for number, cells in block:
            if len(cells) != len(header):
                raise _ragged(path, number, cells, header, delimiter)
        values = _parsed(path, [(number, [cells[k] for k in places]) for number, cells in block], taken)
        with np.errstate(over="ignore"):
            stored = values.astype(np.float32)
        if (is_off := np.isinf(stored)).any():
            row, column = np.argwhere(is_off)[0]
            raise DataError(
                f"{shown(path)}, line {block[row][0]}, column {_cut(taken[column])}: {values[row, column]:g} is not a "
                "finite float32 number; rescale the column or remove the line"
            )
        scratch.write(stored)
        if mark is not None:
            labels += [_label(path, number, cells[mark], label) for number, cells in block]
        is_nan = np.isnan(values)
        found |= (~is_nan).any(axis=0)
        if missing is None and is_nan.any():
            row, column = np.argwhere(is_nan)[0]
            missing = (block[row][0], int(column))
        rows += len(block)
    if missing is not None and not with_missing:
        line, column = missing
        name = taken[column if found.all() else int((~found).argmax())]
        what = f", line {line}, column {_cut(name)}: missing; fill it in, remove the line"
        if not found.all():
            what = f": column {_cut(name)} is missing in all {rows} rows; remove it"
        raise DataError(f"{shown(path)}{what}, or write options.drop: [{name}]")
    return scratch.map(np.dtype(np.float32), (rows, len(places))), labels


def label_column(labels: Sequence[str], rows: int, path: Path, label: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (labels (rows,) as indices, classes) for a column of labels.

    The classes are sorted: by their value if all labels are whole numbers, else as text.
    """
    names = np.array(labels, dtype=object)
    if rows and all(name.lstrip("-").isascii() and name.lstrip("-").isdigit() and len(name) < 16 for name in labels):
        names = np.array([int(name) for name in labels])
    return classes_of(names if names.dtype != object else names.astype(str), rows, Path(f"{path}[{label}]"), path)


def _lines(path: Path, delimiter: str) -> Iterator[Line]:
    """Yield the lines that are not empty, and check the encoding, the quotes and the length of each line."""
    require_file(path)
    try:
        with path.open("rb") as raw:
            if raw.read(2) in UTF16:
                raise DataError(f"{shown(path)}: UTF-16; save it as UTF-8")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_bounded(file, path), delimiter=delimiter, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{shown(path)}: byte 0x{byte:02x} is not UTF-8; save the table as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{shown(path)}, line {reader.line_num}: {why(error)}; correct the quotes there") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _bounded(file: Any, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(MOST_LINE):
        number += 1
        if len(line) == MOST_LINE:
            raise DataError(f"{shown(path)}, line {number}: longer than {MOST_LINE} characters; is it a table of text?")
        if "\0" in line:
            raise DataError(f"{shown(path)}, line {number}: a zero byte; save the table as UTF-8 text")
        yield line


def _blocks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    block: list[Line] = []
    for line in lines:
        block.append(line)
        if len(block) == LINES_AT_ONCE:
            yield block
            block = []
    if block:
        yield block


def _parsed(path: Path, block: list[Line], names: Sequence[str]) -> np.ndarray:
    """Return the numbers of a block as (lines, columns) float64, with NaN for a missing cell."""
    try:
        return np.array([[float(cell) for cell in cells] for _, cells in block]).reshape(len(block), len(names))
    except ValueError:
        pass  # the loop below finds the line and the column
    values = np.empty((len(block), len(names)))
    for row, (number, cells) in enumerate(block):
        for column, cell in enumerate(cells):
            value = _number(cell)
            if value is None and cell.strip().lower() not in MISSING:
                raise _text(path, number, names[column], cell)
            values[row, column] = math.nan if value is None else value
    return values


def _is_text(cell: str) -> bool:
    """Return whether a cell is text: not missing, and not a number with a decimal point or comma."""
    return cell.strip().lower() not in MISSING and _number(cell.replace(",", ".", 1)) is None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _label(path: Path, number: int, cell: str, label: str | None) -> str:
    if not (name := cell.strip()):
        raise DataError(f"{shown(path)}, line {number}, column {_cut(str(label))}: no label; fill it in")
    return name


def _text(path: Path, number: int, column: str, cell: str) -> DataError:
    where = f"{shown(path)}, line {number}, column {_cut(column)}: {_cut(cell)}"
    if _number(cell.replace(",", ".", 1)) is not None:
        return DataError(f"{where} has a decimal comma; save numbers with a decimal point")
    return DataError(f"{where} is not a number; write options.drop: [{column}], or options.label: {column}")


def _ragged(path: Path, number: int, cells: list[str], header: list[str], delimiter: str) -> DataError:
    where = f"{shown(path)}, line {number}: {len(cells)} cells, the header has {len(header)}"
    if delimiter == "," and len(cells) == 2 * len(header) and all(cell.strip().lstrip("-").isdigit() for cell in cells):
        return DataError(f"{where}: decimal commas? save numbers with a decimal point")
    return DataError(f"{where}; correct the line")


def _cut(text: str) -> str:
    """Return a text in quotes, cut to 60 characters, so that it fits into an error of one line."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
