"""Finds out that the text of a new file means something else than what is read, and names the option that reads it.

Two faults leave cells that can all be read. A header in UTF-8, read in another encoding, has other names. And a file
that says 2.304 for what the training file called 2304.00 has numbers that are a thousandth of what they mean: nothing
but their scores would tell.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gen_models.errors import DataError
from gen_models.table import Schema
from pipelines.data.sources.files import shown
from pipelines.data.tables import cells
from pipelines.data.tables.open_table import Table

MOST = 0.9  # of the doubted numbers: so many must be nearer to the training mean without the point


def require_encoding(table: Table, schema: Schema) -> None:
    """Raise DataError if columns of the schema are missing, and are there when the header is read as UTF-8."""
    wanted = {column.name for column in schema.columns}
    if table.reading is None or wanted <= set(table.names):
        return
    try:
        names = {name.encode(table.reading.encoding).decode("utf-8-sig") for name in table.names}
    except (UnicodeError, LookupError):
        return
    if wanted <= names:
        raise DataError(f"{shown(table.path)}: its header is UTF-8, not {table.reading.encoding}: say --encoding utf-8")


def questions(table: Table, schema: Schema, facts: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each column whose points may stand between thousands, by the first rows of a text file.

    In such a column each number with a point has exactly three digits after it, and nearly all of these numbers are
    nearer to the mean of the training rows without the point. There are none where somebody has said what a point is.

    facts: what the model knows of its training data, of which "statistics" is used
    """
    reading = table.reading
    if table.kind != "csv" or reading is None or reading.thousands is not None or reading.decimal is not None:
        return []
    places = schema.groups
    counted = [column.name for column in schema.columns if column.kind in ("number", "count")]
    numbers = {name: places[name][0] for name in counted if name in table.names}
    block = next(table.blocks(list(numbers)), None) if numbers else None
    if block is None:
        return []
    found = []
    means = np.asarray((facts.get("statistics") or {}).get("mean", ()), dtype=np.float64).ravel()  # null becomes NaN
    for name, first in numbers.items():
        if first >= len(means) or not cells.is_text(block[name]):
            continue
        is_doubted = cells.is_form(block[name], "dotted", reading.missing)
        x, _ = cells.numbers(block[name], missing=reading.missing)
        is_other = np.isfinite(x) & ~is_doubted & ~cells.is_form(block[name], "whole", reading.missing)
        if not is_doubted.any() or is_other.any():
            continue
        with_point, without = np.abs(x[is_doubted] - means[first]), np.abs(1000 * x[is_doubted] - means[first])
        if (without < with_point).mean() >= MOST:
            row = int(is_doubted.argmax())
            cell = str(block[name][row].as_py()).strip()
            found.append(
                f"{shown(table.path)}: column {name!r}: {cell} is read as {x[row]:g}, but {1000 * x[row]:g} would be "
                "nearer to the training rows; if the point stands between thousands, say --thousands ."
            )
    return found
