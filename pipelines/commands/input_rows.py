"""Reads the rows that a command takes, as the model's training rows were read: tables, folders of images, arrays.

    a table      CSV, TSV, Parquet, .npz, .npy: columns are taken by their names; others are ignored
    images       a folder, one image, or an array (rows, channels, height, width) in .npy, .npz or IDX, or channels last
    other rows   .npy, .npz, CSV or Parquet, (rows, D)

Rows are read in blocks, so a file may be larger than memory. A row that cannot be used gets a problem, a text that says
why; the other rows are read all the same.

The argument `facts` is what a model knows of its training data, as registry.serving.facts_of returns it: event_shape
(the shape of a row), levels (the number of grey levels, or None), the columns of a table, and more.
"""

import itertools
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.errors import DataError
from gen_models.off_levels import off_levels
from gen_models.table import from_json, missing_columns
from pipelines.commands.reading_hints import questions, require_encoding
from pipelines.data.sources import array_files, idx
from pipelines.data.sources.files import advice, require_file, require_there, shown, unreadable
from pipelines.data.tables import cells
from pipelines.data.tables.encode import encoded
from pipelines.data.tables.open_table import Reading, Table, kind_of, names_in, open_table

ROWS_AT_ONCE = 16_384
BYTES_AT_ONCE = 64 << 20


@dataclass(frozen=True)
class Rows:
    """A block of rows.

    names     what each row is called: the path of its image, or its index in the file, from 0
    x         (rows, *event); a row that has a problem holds zeros
    problems  {index of a row in the block: why it cannot be used}
    ids       {column: words} of the columns that identify a table's rows
    """

    names: Sequence[Any]
    x: np.ndarray
    problems: dict[int, str]
    ids: Mapping[str, np.ndarray]


def read_blocks(path: Path, facts: Mapping[str, Any], *, on_grid: bool = True) -> Iterator[Rows]:
    """Yield the rows of a file or folder in blocks; if it has no rows, yield one block without rows.

    facts: what the model knows of its training data, see the module
    on_grid: for a model of grey levels, whether a row with a number that is no whole grey level gets a problem

    Raises DataError for a file that cannot be read at all.
    """
    require_there(path)
    event = tuple(facts["event_shape"])
    if path.is_dir() or (len(event) == 3 and path.suffix.lower() in image_endings()):
        blocks = _images(path, event, facts)
    elif facts.get("table"):
        blocks = _of_schema(path, facts)
    elif kind_of(path) in ("csv", "parquet"):
        blocks = _columns(open_table(path), facts.get("columns", ()), event)
    else:
        blocks = _array(_open_array(path), path, event)
    is_empty = True
    for block in _checked(blocks, facts, facts.get("levels") if on_grid else None):
        is_empty = False
        yield block
    if is_empty:
        names = facts["table"].get("ids", ()) if facts.get("table") else ()
        yield Rows(
            range(0), np.zeros((0, *event), dtype=np.float32), {}, {name: np.array([], dtype=object) for name in names}
        )


def read_events(path: Path, facts: Mapping[str, Any], *, on_grid: bool = True) -> Float[Tensor, "rows *event"]:
    """Read all rows of a file or folder into memory.

    facts, on_grid: as for `read_blocks`

    Raises DataError, which names the first row that has a problem, and how many have one.
    """
    found, first, problems = [], "", 0
    for block in read_blocks(path, facts, on_grid=on_grid):
        for place in sorted(block.problems)[: not first]:
            first = f"{place_of(path, block.names[place], facts)}: {block.problems[place]}"
        problems += len(block.problems)
        found.append(block.x if not first else block.x[:0])
    if first:
        others = f"; {problems - 1} more rows cannot be used either" if problems > 1 else ""
        raise DataError(f"{first}{others}; correct or remove the row{'s' if others else ''}: here each must be usable")
    return torch.from_numpy(np.ascontiguousarray(np.concatenate(found)))


def given_shape(path: Path) -> tuple[int, ...] | None:
    """Return the shape of a row in a file of arrays, or None for a folder or any other file."""
    is_array = path.is_file() and path.suffix.lower() not in image_endings() and kind_of(path) not in ("csv", "parquet")
    return _open_array(path).shape[1:] if is_array else None


def place_of(path: Path, name: Any, facts: Mapping[str, Any]) -> str:
    """Return where a row stands, for people: the file with the line (CSV) or the index of the row, or the image's path.

    name: the row's entry in `Rows.names`; facts: see the module
    """
    if not isinstance(name, int):
        return f"{shown(path)}: {shown(name)}"
    if kind_of(path) != "csv":
        return f"{shown(path)}, row {name}"
    return f"{shown(path)}, {open_table(path, _reading(facts.get('table', {}))).place(name)}"


def count_rows(path: Path) -> int:
    """Return how many rows a file or folder has, for a bar of progress; 0 if only unpacking the file would tell.

    For a CSV file, the number of lines is returned, which is not the number of rows if there is a header or if a cell
    holds a line end.
    """
    require_there(path)
    if path.is_dir():
        from pipelines.data.sources.image_rows import count_images

        return count_images(path)
    require_file(path)
    if kind_of(path) == "csv":
        try:
            with path.open("rb") as file:
                return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        except OSError as error:
            raise unreadable(path, error) from None
    if kind_of(path) == "parquet":
        return open_table(path).rows or 0
    if kind_of(path) == "npy":
        return sum(array_files.read_npy(path).shape[:1])
    return 1 if path.suffix.lower() in image_endings() else 0


def read_latents(path: Path) -> np.ndarray:
    """Read an array of numbers, (rows, columns) float32, such as latent vectors, from .npy, .npz, CSV or Parquet.

    Of a table that `predict --task encode` wrote, only its latents are read. A row of NaN alone, or of empty cells, has
    no latents, and is returned as it is.

    Raises DataError for the first cell that is no number, or a row with a number that is not finite.
    """
    require_there(path)
    if kind_of(path) in ("csv", "parquet"):
        found, table = [], open_table(path)
        latents = [name for name in table.names if re.fullmatch(r"encode\d*", name)]
        for block in _columns(table, latents, None):
            is_empty = np.isnan(block.x).all(axis=1)
            for place in sorted(set(block.problems) - set(np.flatnonzero(is_empty).tolist()))[:1]:
                raise DataError(f"{place_of(path, block.names[place], {})}: {block.problems[place]}")
            found.append(block.x)
        rows = np.concatenate(found) if found else np.zeros((0, 0))
    else:
        rows = np.asarray(_open_array(path))
        if not rows.ndim:
            raise DataError(f"{shown(path)}: holds one number; give rows of numbers, (rows, columns)")
        rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    with np.errstate(over="ignore"):  # told below
        rows = rows.astype(np.float32)
    is_known = np.isfinite(rows).all(axis=1) | (np.isnan(rows).all(axis=1) & (rows.shape[1] > 0))
    if not is_known.all():
        raise DataError(f"{shown(path)}: row {int(is_known.argmin())} holds a value that is no finite number")
    return rows


def image_endings() -> tuple[str, ...]:
    """Return the endings of the files that are read as images."""
    from pipelines.data.sources.left_out import SUFFIXES

    return tuple(SUFFIXES)


def _of_schema(path: Path, facts: Mapping[str, Any]) -> Iterator[Rows]:
    """Yield the rows of a table, encoded as numbers by the schema of the training table.

    The file's separator may differ from that of the training file.
    """
    known = facts["table"]
    schema, table = from_json(known["columns"]), open_table(path, _reading(known))
    require_encoding(table, schema)
    for question in questions(table, schema, facts):
        print(question, file=sys.stderr)
    ids = [name for name in known.get("ids", ()) if name in table.names]
    for block in encoded(table, schema, others=ids):
        problems = {
            row: why + (_advice(why, table.reading) if table.reading else "") for row, why in block.problems.items()
        }
        yield Rows(range(block.first, block.first + len(block.x)), block.x, problems, block.words)


def _advice(problem: str, reading: Reading) -> str:
    """Return what to do about a cell that is no number or no time, read in this way; "" if that is unclear."""
    found = re.search(r": '(.*)' is not a (number|time)$", problem)
    if found is None:
        return ""
    cell, kind = found.groups()
    if kind == "time":
        return "; write times as 2026-05-01 12:30"
    if reading.point == "," and reading.thousands is None and re.fullmatch(cells.FORMS["dotted"], cell):
        return "; say --thousands . if the point stands between thousands, else --thousands none"
    if reading.point == "," and re.fullmatch(r"[+-]?(\d{1,3}(,\d{3})+|\d*)\.\d+", cell):
        return "; a decimal point? say --decimal ." + (" --thousands ," if "," in cell else "")
    if re.fullmatch(r"[+-]?\d{1,3},\d{3}", cell):
        return "; a decimal comma? say --decimal , or, for a mark between groups of three digits, --thousands ,"
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", cell):
        return "; a mark between groups of three digits? say --thousands ,"
    if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+,\d+", cell):
        return "; a decimal comma? say --decimal , --thousands ."
    return "; a decimal comma? say --decimal ," if re.fullmatch(r"[+-]?\d*,\d+", cell) else ""


def read_as(facts: Mapping[str, Any], **reading: Any) -> dict[str, Any]:
    """Return the facts of a model, with how the text of a table is read.

    reading: the encoding, the decimal mark, the mark between groups of three digits, and further words for missing
    values, as options of the command; what is None is as in the training file, unless the training file's mark is now
    the other one of the two

    Raises DataError if an option is given for a model that was not trained on a table, or one mark for both.
    """
    given = {key: value for key, value in reading.items() if value is not None}
    if not given:
        return dict(facts)
    if not facts.get("table"):
        raise DataError(f"--{next(iter(given))}: this model was not trained on a table, of whose text it speaks")
    table = facts["table"]
    known = table.get("reading", {})
    changed = {**known, **given}
    if "missing" in given:
        changed["missing"] = [*known.get("missing", ()), *given["missing"]]
    if changed.get("thousands") == (changed.get("decimal") or "."):  # one mark cannot be both
        if {"decimal", "thousands"} <= set(given):
            raise DataError(f"--decimal and --thousands: {given['decimal']!r} cannot be both; give two marks")
        changed |= {"thousands": None} if "decimal" in given else {"decimal": "," if given["thousands"] == "." else "."}
    found = {**table, "reading": changed}
    _reading(found)  # refuses what cannot be
    return {**facts, "table": found}


def _reading(known: Mapping[str, Any]) -> Reading:
    """Return how to read a text file: as the training file was read, except that the separator is found anew."""
    reading = known.get("reading", {})
    return Reading(**{**reading, "missing": tuple(reading.get("missing", ())), "delimiter": None})


def _columns(table: Table, columns: Sequence[str], event: tuple[int, ...] | None) -> Iterator[Rows]:
    """Yield rows of the named columns, or of all columns, of a table of numbers."""
    if absent := [name for name in columns if name not in table.names]:
        raise DataError(f"{shown(table.path)}: " + missing_columns(dict.fromkeys(absent, False), table.names, columns))
    names, first = list(columns) or [name for name in table.names if name not in table.index], 0
    if event is not None and len(names) != math.prod(event):
        raise DataError(_wrong_size(table.path, (len(names),), event))
    for block in table.blocks(names):
        problems: dict[int, str] = {}
        parts = []
        for name, column in block.items():
            x, odd = cells.numbers(column)
            for row in np.flatnonzero(odd):
                problems.setdefault(int(row), f"{name}: {str(column[int(row)].as_py()).strip()[:60]!r} is not a number")
            for row in np.flatnonzero(np.isnan(x) & ~odd):
                problems.setdefault(int(row), f"{name}: missing")
            parts.append(x)
        rows = np.stack(parts, axis=1) if parts else np.zeros((0, 0))
        with np.errstate(over="ignore"):
            stored = rows.astype(np.float32).reshape(len(rows), *(event or rows.shape[1:]))
        yield Rows(range(first, first + len(rows)), stored, problems, {})
        first += len(rows)


def _images(path: Path, event: tuple[int, ...], facts: Mapping[str, Any]) -> Iterator[Rows]:
    from pipelines.data.sources.image_rows import read_images_like

    if len(event) != 3:
        raise DataError(
            f"{shown(path)}: a folder or an image, but this model takes a table: give a CSV or Parquet file"
        )
    images = read_images_like(path, event, options=facts.get("options", {}))
    at_once = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // (4 * math.prod(event))))
    while block := list(itertools.islice(images, at_once)):
        problems = {place: problem for place, (_, _, problem) in enumerate(block) if problem}
        x = np.zeros((len(block), *event), dtype=np.float32)
        for place, (_, image, _) in enumerate(block):
            if image is not None:
                x[place] = image
        yield Rows([name for name, _, _ in block], x, problems, {})


def _open_array(path: Path) -> np.ndarray:
    """Open the rows of a .npy, .npz or IDX file, mapped from disk."""
    ending = path.suffix.lower()
    if ending == ".npy":
        return array_files.read_npy(path)
    if ending == ".npz":
        name, _ = names_in(path)
        return array_files.read_npz(path, [name], needed=name)[name]
    if "idx" in path.name or "ubyte" in path.name:
        return idx.read_idx(path)
    raise DataError(
        f"{shown(path)}: not rows that are known by the file's ending{advice(path)}; give .npy, .npz, .csv, .tsv, "
        ".parquet, IDX, or for a model of images a folder or an image"
    )


def _array(x: np.ndarray, path: Path, event: tuple[int, ...]) -> Iterator[Rows]:
    if x.ndim < 2:
        raise DataError(f"{shown(path)}: expected rows, shape (rows, columns), found shape {x.shape}")
    found, last = x.shape[1:], (*event[1:], event[0]) if len(event) == 3 else event
    moves = found == last and found != event
    squeezed = len(event) == 3 and event[0] == 1 and found == event[1:]
    if not moves and not squeezed and found != event and (len(found) > 1 or found[0] != math.prod(event)):
        raise DataError(_wrong_size(path, found, event))
    if moves:
        print(f"{shown(path)}: {_shape(found)} is read as height, width, channels (channels last)", file=sys.stderr)
    elif len(event) == 3 and event[0] > 1 and len(found) == 1:
        print(
            f"{shown(path)}: rows of {found[0]} numbers are read as channels, height, width; if yours are channels "
            f"last, give images of {_shape(last)}",
            file=sys.stderr,
        )
    at_once = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // (8 * math.prod(event))))
    for start in range(0, len(x), at_once):
        rows = np.asarray(x[start : start + at_once])
        rows = np.moveaxis(rows, -1, 1) if moves else rows
        with np.errstate(over="ignore"):
            rows = rows.reshape(len(rows), *event).astype(np.float32)
        yield Rows(range(start, start + len(rows)), rows, {}, {})


def _checked(blocks: Iterator[Rows], facts: Mapping[str, Any], levels: int | None) -> Iterator[Rows]:
    """Yield the blocks; add a problem to each row with a number that is not finite, or is no whole grey level.

    Each row that has a problem is filled with zeros. levels: the number of grey levels; None: any finite number is
    allowed
    """
    for block in blocks:
        flat = block.x.reshape(len(block.x), -1)
        bad = ~np.isfinite(flat).all(axis=1)
        for place in np.flatnonzero(bad):
            column = int((~np.isfinite(flat[place])).argmax())
            name = facts["columns"][column] if facts.get("columns") else f"number {column}"
            block.problems.setdefault(int(place), f"{name}: {flat[place, column]}, not a finite 32-bit number")
        if isinstance(levels, int) and len(flat):
            for off, why in off_levels(flat, levels).items():
                block.problems.setdefault(off, why)
        block.x[list(block.problems)] = 0
        yield block


def _wrong_size(path: Path, found: Sequence[int], event: Sequence[int]) -> str:
    if len(event) == 3 and len(found) == 1:
        return (
            f"{shown(path)}: rows of {found[0]} numbers, but this model takes images of {_shape(event)}: give a folder "
            f"of images, or rows of {math.prod(event)} numbers"
        )
    order = " with the axes channels, height, width, or channels last" if len(event) == 3 else ""
    return (
        f"{shown(path)}: rows of shape {_shape(found)}; this model takes {_shape(event)}{order}, or rows of "
        f"{math.prod(event)} numbers; resize or transpose them"
    )


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
