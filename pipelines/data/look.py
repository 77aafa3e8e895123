"""Looks at a file or folder of data, and finds the source (of source_table.py) and the options with which to read it.

For a table it also proposes what each column is. A conf here is a file conf/data/NAME.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gen_models.errors import ConfigError, DataError
from gen_models.noise import Noise
from pipelines.data.source_table import SOURCES
from pipelines.data.sources import mnist
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import advice, printable, shown
from pipelines.data.tables import open_table
from pipelines.data.tables.csv_text import cut, looks_like_data
from pipelines.data.tables.facts import Facts, with_numbers
from pipelines.data.tables.facts import look as look_at_cells
from pipelines.data.tables.open_table import Reading
from pipelines.data.tables.propose import Wishes, formats_of, propose
from pipelines.runtime import paths

COLLECTIONS = {"mnist": mnist.MNIST, "fashion_mnist": mnist.FASHION_MNIST}
LARGE_BYTES = 128 << 20  # of a table larger than this, `inspect` reads only the first rows
FIRST_ROWS = 200_000


@dataclass(frozen=True)
class Found:
    """What was found in a file or folder of data.

    path      the file or folder
    source    the name of the source that reads it, a key of SOURCES
    options   the options of that source
    arrays    the rows, or None if only the first rows of a large table were looked at
    columns   {column: its entry under `columns:` of the conf}, for a table; {} for other data
    reasons   {column: why it has this role or kind}, for a table
    facts     {column: what its cells hold}, for a table
    anomaly   the label that means an anomaly, such as "true" in a column is_fraud; None if no name tells
    notes     sentences on what is left out and on what was decided by a name
    """

    path: Path
    source: str
    options: dict[str, Any]
    arrays: Arrays | None
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Facts] = field(default_factory=dict)
    anomaly: str | None = None
    notes: tuple[str, ...] = ()


def look(
    path: Path,
    *,
    wishes: Wishes | None = None,
    reading: Reading | None = None,
    images: Mapping[str, Any] | None = None,
    in_part: bool = False,
) -> Found:
    """Read a file or folder with the source for its kind, and return what was found.

    wishes    what the user says about the columns of a table
    reading   how a table that is a text file is written; None: the defaults
    images    options of a folder of images, such as `size`
    in_part   if a table is larger than LARGE_BYTES, look only at its first rows

    Raises DataError if the kind of file is unknown, if the data cannot be read, or if only the user can decide what
    they mean; ConfigError if `images` or `wishes` are given for data of another kind.
    """
    source, wishes = kind_of(path), wishes or Wishes()
    options: dict[str, Any] = {"path": written(path)}
    if images and source != "image_folder":
        raise ConfigError(f"{shown(path)} is not a folder of images; leave --size and --mode out")
    if source == "table":
        return _look_at_table(path, options, wishes, reading or Reading(), in_part)
    if wishes != Wishes():
        raise ConfigError(
            f"{shown(path)} is not a table with columns; leave --label, --kind, --id, --ignore and --header out"
        )
    options |= images or {}
    if source == "idx" and (labels := _labels_beside(path)) is not None:
        options["labels"] = written(labels)
    if source == "npz":
        x_name, y_name = open_table.names_in(path)
        options |= {key: name for key, name in (("x", x_name), ("y", y_name)) if name not in (None, key)}
    arrays = SOURCES[source](Noise(0), **options)
    options |= arrays.proposed
    if "bits" in arrays.proposed:  # it changes the rows, so they are read again; other proposals do not
        arrays = SOURCES[source](Noise(0), **options)
    notes = arrays.notes
    if source in ("npy", "npz") and arrays.x.ndim == 4 and arrays.x.shape[3] in (1, 3, 4) and arrays.x.shape[1] > 4:
        options["channels_last"] = True
        arrays = SOURCES[source](Noise(0), **options)
        notes = (f"the last axis, of {arrays.x.shape[1]}, is taken as the channels (options.channels_last)",)
    return Found(path, source, options, arrays, notes=notes)


def kind_of(path: Path) -> str:
    """Return the name of the source that reads a file or folder.

    A folder is read as a folder of images. A file is recognised by its ending, or by "idx" or "ubyte" in its name; of
    the arrays in .npy and .npz files, some are tables and others are not. Raises DataError for any other file.
    """
    if path.is_dir():
        return "image_folder"
    kind = open_table.kind_of(path)
    if kind in ("npz", "npy"):
        return "table" if open_table.is_table(path) else kind
    if kind is not None and "ubyte" not in path.name:
        return "table"
    if "idx" in path.name or "ubyte" in path.name:
        return "idx"
    raise DataError(
        f"{shown(path)}: not a kind that is known by its ending{advice(path)}; give a folder of images, "
        f"{', '.join(open_table.ENDINGS)}, or an IDX file with idx in its name"
    )


def collection_in(folder: Path) -> str | None:
    """Return the name of the collection, such as mnist, whose files a folder holds, or None for any other folder.

    Only the file of test labels is compared, by its sha256.
    """
    for name, collection in COLLECTIONS.items():
        test = "t10k-labels-idx1-ubyte"
        for path in (folder / test, folder / f"{test}.gz"):
            if path.is_file():
                try:
                    mnist.content_of(path, collection, test)
                except DataError:
                    continue
                return name
    return None


def written(path: Path) -> str:
    """Return a path as text for a conf: relative to the project folder, which has conf/, if the path lies inside it."""
    return printable(str(path.relative_to(paths.source()) if path.is_relative_to(paths.source()) else path))


def _look_at_table(path: Path, options: dict[str, Any], wishes: Wishes, reading: Reading, in_part: bool) -> Found:
    table = open_table.open_table(path, reading)
    wishes.check(table)
    if table.kind == "csv" and reading.header and not wishes.header and looks_like_data(table.names):
        raise DataError(
            f"{shown(path)}, line 1: {cut(','.join(table.names))} may be data or the names of the columns; say "
            "--no-header or --header"
        )
    is_large = in_part and path.stat().st_size > LARGE_BYTES
    most_rows = FIRST_ROWS if is_large else None
    facts = look_at_cells(table, most_rows)
    if not next(iter(facts.values())).rows:
        raise DataError(f"{shown(path)}: no rows below the header; give rows")
    formats = formats_of(facts, table, wishes)
    with_numbers(facts, table, formats, most_rows)
    found = propose(facts, table, formats, wishes)
    options |= reading.options() | found.reading
    notes = tuple(found.notes)
    if table.reading is not None and table.reading.delimiter != ",":
        options["delimiter"] = table.reading.delimiter
    if is_large:
        rows = next(iter(facts.values())).rows
        notes = (f"only the first {rows} rows were read; `gen-models add-data` reads all", *notes)
    arrays = None if is_large else SOURCES["table"](Noise(0), columns=found.columns, **options)
    return Found(path, "table", options, arrays, found.columns, found.reasons, facts, found.anomaly, notes)


def _labels_beside(path: Path) -> Path | None:
    """Return the file of labels that lies in the same folder as a file of images, or None if there is no such file.

    For train-images-idx3-ubyte it is train-labels-idx1-ubyte.
    """
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return beside if beside != path and beside.is_file() else None
