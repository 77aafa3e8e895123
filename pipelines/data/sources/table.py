"""Reads a user's table, of any format that pipelines/data/tables opens, as the schema in conf/data/NAME.yaml says."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gen_models.errors import ConfigError, DataError, option, unknown
from gen_models.noise import Noise
from gen_models.table import FILL, VALUE, Column
from pipelines.config import yaml_file
from pipelines.config.columns import Roles, roles_of
from pipelines.data.row_names import as_bytes, by_index
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import Scratch, locate, origin_of, require_sha256, shown
from pipelines.data.sources.labels import classes_of
from pipelines.data.tables.cells import FORMS
from pipelines.data.tables.encode import Block, encoded
from pipelines.data.tables.open_table import Reading, Table, open_table

WHOLE = re.compile(r"-?[0-9]{1,15}")
POINT = re.compile(FORMS["dotted"].replace("^", "'").replace("$", "' is not a number"))
COMMA = re.compile(r"'[+-]?[0-9.]*[0-9],[0-9]+(\.[0-9]+)?' is not a number")


def table(
    noise: Noise,
    *,
    path: str,
    columns: Mapping[str, Any],
    delimiter: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
    missing: Sequence[str] = (),
    labels: str | None = None,
    sha256: str | None = None,
) -> Arrays:
    """Read x (rows, numbers) float64, with NaN where a number is missing that `prepare` fills later.

    path     the file of the table
    columns  {column: its role and kind}, the key `columns` of the conf
    labels   a .npy file with (rows,) labels, or None
    sha256   the hash that the files must have, or None for any

    The other arguments say how a text file is read; see `Reading`. `noise` is not used: nothing is drawn. Raises
    DataError, which names the line and the column, for a row that cannot be used.
    """
    file = locate(path)
    files = [file] if labels is None else [file, locate(labels)]
    origin = origin_of(*files)
    require_sha256(sha256, origin["sha256"], file)
    roles = roles_of(columns, "options")
    if not isinstance(missing, list | tuple) or not all(isinstance(word, str) for word in missing):
        raise ConfigError(f"options.missing: {missing!r} is not a list of words; write missing: ['-999'] in options")
    if not isinstance(encoding, str):
        raise ConfigError(
            f"options.encoding: {encoding!r} is not the name of an encoding; write encoding: cp1252 in options"
        )
    opened = open_table(file, Reading(delimiter, decimal, thousands, encoding, header, tuple(missing)))
    _require_known(opened, roles)
    x, places, words, names = _read(opened, roles)
    y, classes = _labels(places, words, roles, opened) if labels is None else _labels_beside(files[1], len(x), file)
    return Arrays(
        x,
        y,
        classes,
        roles.schema.names,
        origin=origin,
        name=shown(file),
        schema=roles.schema,
        ids=roles.ids,
        reading=(opened.reading or Reading()).options(),
        names=names,
    )


def _require_known(opened: Table, roles: Roles) -> None:
    """Raise DataError for a label or feature that the file lacks, and for a column that the conf does not mention."""
    for name in (*([roles.label] if roles.label is not None else []), *(c.name for c in roles.schema.columns)):
        if name not in opened.names:
            raise DataError(
                f"{shown(opened.path)}: {unknown('column', name, opened.names[:50])}; correct columns in the conf"
            )
    for name in opened.names:
        if name not in roles.known:
            quoted = "'" + name.replace("'", "''") + "'"
            raise DataError(
                f"{shown(opened.path)}: the conf does not say what column {name!r} is; add "
                f"{quoted}: {{role: ignore}} to columns, or its kind"
            )


def _read(opened: Table, roles: Roles) -> tuple[np.ndarray, np.ndarray, list[str], dict[str, np.ndarray]]:
    """Return (x (rows, numbers), the index of each row's label in the list, the list of different labels, names).

    Without a column of labels, the second and third are empty; `names` is as in Arrays.
    """
    scratch, rows = Scratch(opened.path), 0
    known: dict[str, int] = {}
    places: list[np.ndarray] = []
    ids: dict[str, list[np.ndarray]] = {name: [] for name in roles.ids if name in opened.names}
    for block in encoded(opened, roles.schema, others=[*([roles.label] if roles.label else []), *ids]):
        if block.problems:
            raise _refusal(opened, block, roles)
        scratch.write(block.x)
        rows += len(block.x)
        if roles.label:
            places.append(_places(block, roles.label, known, opened))
        for name, found in ids.items():
            found.append(as_bytes(block.words[name]))
    if not rows:
        raise DataError(f"{shown(opened.path)}: no rows below the header; give rows")
    of_labels = np.concatenate(places) if places else np.empty(0, dtype=np.int64)
    index = {} if "row" in ids else by_index(rows)  # identifiers may be missing, or repeat
    names = {name: np.concatenate(found) for name, found in ids.items()} | index
    pa.default_memory_pool().release_unused()  # what the last blocks took, before the rows are mapped
    return scratch.map(np.dtype(np.float64), (rows, len(roles.schema.names))), of_labels, list(known), names


def _places(block: Block, label: str, known: dict[str, int], opened: Table) -> np.ndarray:
    """Return (rows,) the index of each row's label; known: {label: index}, to which new labels are added."""
    words = block.words[label]
    for row in np.flatnonzero(words == None)[:1]:  # noqa: E711  of each element
        where = opened.place(block.first + int(row))
        raise DataError(f"{shown(opened.path)}, {where}, column {label!r}: no label; fill it in")
    return np.array([known.setdefault(word, len(known)) for word in words], dtype=np.int64)


def _refusal(opened: Table, block: Block, roles: Roles) -> DataError:
    row = min(block.problems)
    known = {column.name: column for column in roles.schema.columns}
    name = max((name for name in known if block.problems[row].startswith(f"{name}: ")), key=len)
    reason = block.problems[row].removeprefix(f"{name}: ")
    where = f"{shown(opened.path)}, {opened.place(block.first + row)}, column {name!r}"
    ignore = f"say {option('--ignore', name)}, or write role: ignore at columns.{name}"
    if reason == "missing":
        fix = f"fill it in, remove the row, or write {_takes_missing(known[name])} at columns.{name}"
    elif "is not among" in reason:
        word = yaml_file.dump(reason.partition("' is not among")[0].removeprefix("'"))
        fix = f"correct it, or {ignore}"
        if known[name].kind == "category":
            fix = f"correct it, or add {word} to columns.{name}.values"
    elif POINT.search(reason) and opened.reading is not None and opened.reading.point == ",":
        fix = (
            "say --thousands . if the point stands between thousands, else --thousands none; for data that are added, "
        )
        fix += "write thousands: . or thousands: '' in options of the conf"
    elif COMMA.search(reason) and opened.kind == "csv":
        fix = "a decimal comma, or one between thousands? write decimal: ',' in options, or thousands: ',' in options"
    else:
        fix = f"correct it, or {ignore}"
    return DataError(f"{where}: {reason}; {fix}")


def _takes_missing(column: Column) -> str:
    """Return what to write into a conf so that a column accepts missing values."""
    if column.kind == "flag":
        return yaml_file.dump({"kind": "category", "values": list(column.values), "missing": VALUE})
    return f"missing: {VALUE if column.kind == 'category' else FILL}"


def _labels(
    places: np.ndarray, words: list[str], roles: Roles, opened: Table
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if roles.label is None:
        return None, ()
    names: Any = np.array(words)
    if all(WHOLE.fullmatch(word) and word == str(int(word)) for word in words):  # sorted by their value
        names = np.array([int(word) for word in words])
    ranks, classes = classes_of(names, len(words), Path(f"{opened.path}[{roles.label}]"), opened.path)
    return ranks[places], classes


def _labels_beside(file: Path, rows: int, of: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    from pipelines.data.sources.array_files import LABEL, read_npy

    return classes_of(read_npy(file, kinds=LABEL), rows, file, of)
