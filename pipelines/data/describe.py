"""Describes what a file or folder of data holds, in the text that `inspect` and `add-data` print."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.data.look import Found
from pipelines.data.prepare import blocks_of, digests
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import shown
from pipelines.data.tables.csv_text import SPELLED
from pipelines.data.tables.open_table import kind_of
from pipelines.runtime.words import counted

SHOWN_CLASSES = 12
SHOWN_COLUMNS = 60
SHOWN_NOTES = 20


def describe(found: Found) -> str:
    """Return a text on what was found: rows, range, missing, duplicates, labels, columns with roles, and notes."""
    lines = [f"{shown(found.path)}: {_kind(found)}"]
    lines += _of_rows(found, found.arrays) if found.arrays is not None else []
    if found.columns:
        width = min(max(len(name) for name in found.columns), 30)
        lines.append("  columns")
        for name, entry in list(found.columns.items())[:SHOWN_COLUMNS]:
            what = entry.get("role", entry.get("kind", "number"))
            reason = found.reasons.get(name, f"{entry['length']} numbers" if "length" in entry else "")
            lines.append(f"    {shown(name):<{width}}  {what:<9} {reason}")
        if len(found.columns) > SHOWN_COLUMNS:
            lines.append(f"    ... and {len(found.columns) - SHOWN_COLUMNS} more")
    notes = list(found.notes)
    if len(notes) > SHOWN_NOTES:
        notes = [
            *notes[:SHOWN_NOTES],
            f"{len(notes) - SHOWN_NOTES} more columns are left out or filled; conf/data says why",
        ]
    return "\n".join([*lines, *(f"  note        {note}" for note in notes)])


def _kind(found: Found) -> str:
    if found.source != "table":
        return found.source
    delimiter = found.options.get("delimiter", ",")
    decimal = found.options.get("decimal", ".")
    text = f", cells separated by {SPELLED[delimiter]}" + (f", decimal mark {decimal!r}" if decimal != "." else "")
    return "table" + (text if kind_of(found.path) == "csv" else "")


def _of_rows(found: Found, arrays: Arrays) -> list[str]:
    x, origin = arrays.x, arrays.origin
    facts = _facts(x)
    shape = "x".join(map(str, x.shape[1:]))
    digest = f"sha256 {origin['sha256']}{'' if origin['files'] == 1 else ' of all'}"
    what = "numbers" if x.ndim == 2 else "pixels"
    constant = f"{len(facts['constant'])} of the {math.prod(x.shape[1:])} {what}"
    equal = "1 row is" if facts["duplicates"] == 1 else f"{facts['duplicates']} rows are"
    is_table = arrays.schema is not None
    lines = [
        f"  rows        {len(x)}, each "
        + (f"becomes {counted(x.shape[1], 'number')}" if is_table else f"of {shape} {what}, {x.dtype}"),
        f"  files       {origin['files']}, {origin['bytes']} bytes, {digest}",
        f"  range       {facts['low']:g} .. {facts['high']:g}",
        f"  missing     {_missing(found, arrays, facts)}",
        f"  constant    {constant}{_columns(arrays, facts['constant'])}",
        f"  duplicates  {equal} equal to an earlier one",
        f"  labels      {_balance(arrays)}",
    ]
    if arrays.parts is not None:
        lines.append("  divided     " + ", ".join(f"{len(rows)} {part}" for part, rows in arrays.parts.items()))
    return lines


def _facts(x: np.ndarray) -> dict[str, Any]:
    """Read all rows in blocks, and return each column's range and missing numbers, constant columns, and duplicates."""
    columns = math.prod(x.shape[1:])
    lows, highs, missing = np.full(columns, np.inf), np.full(columns, -np.inf), np.zeros(columns, dtype=np.int64)
    for block in _blocks(x):
        flat = block.reshape(len(block), -1).astype(np.float64)
        is_nan = np.isnan(flat)
        missing += is_nan.sum(axis=0)
        lows = np.minimum(lows, np.where(is_nan, np.inf, flat).min(axis=0, initial=np.inf))
        highs = np.maximum(highs, np.where(is_nan, -np.inf, flat).max(axis=0, initial=-np.inf))
    return {
        "lows": lows,
        "highs": highs,
        "low": float(lows.min(initial=np.inf)),
        "high": float(highs.max(initial=-np.inf)),
        "missing": int(missing.sum()),
        "missing_of": missing,
        "missing_in": np.flatnonzero(missing).tolist(),
        "constant": np.flatnonzero(lows == highs).tolist(),
        "duplicates": _duplicates(x),
    }


def _duplicates(x: np.ndarray) -> int:
    """Return how many rows are equal to an earlier one. The hashes are sorted in place: np.unique makes copies."""
    hashes = digests(x, np.arange(len(x)), x.dtype)
    hashes.sort()
    return int((hashes[1:] == hashes[:-1]).sum())


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    return blocks_of(x, np.arange(len(x)), x.dtype)


def _columns(arrays: Arrays, places: Sequence[int]) -> str:
    if not places or not arrays.columns:
        return ""
    names = ", ".join(arrays.columns[k] for k in places[:5])
    return f" ({names}{', ...' if len(places) > 5 else ''})"


def _missing(found: Found, arrays: Arrays, facts: Mapping[str, Any]) -> str:
    """Return how many cells of a table's features are missing, or how many numbers of other rows, and in which columns.

    facts: what `_facts` returned
    """
    if not found.facts:
        return f"{facts['missing']} numbers{_columns(arrays, facts['missing_in'])}"
    used = [name for name in found.facts if "role" not in found.columns.get(name, {})]
    counts = {name: count for name in used if (count := sum(found.facts[name].missing.values()))}
    names = ", ".join(shown(name) for name in list(counts)[:5]) + (", ..." if len(counts) > 5 else "")
    total = sum(counts.values())
    return counted(total, "cell") + (f" ({names})" if counts else "")


def _balance(arrays: Arrays) -> str:
    if arrays.y is None:
        return "none"
    counts = np.bincount(arrays.y, minlength=len(arrays.classes))
    each = [f"{count} {name}" for name, count in zip(arrays.classes, counts, strict=True)]
    more = f", ... {len(each) - SHOWN_CLASSES} more" if len(each) > SHOWN_CLASSES else ""
    return f"{len(each)} classes: {', '.join(each[:SHOWN_CLASSES])}{more}"
