"""Reads the cells of a table's column as numbers, times or words, and finds the cells that are missing.

A column is an Arrow array: of text if the file is text, such as CSV, and of one of Arrow's other types if the file
stores types, such as Parquet.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING = (
    "",
    "na",
    "n/a",
    "n.a.",
    "nan",
    "-nan",
    "null",
    "none",
    "nil",
    "?",
    "-",
    "--",
    "<na>",
    "#n/a",
    "#na",
    "#n/a n/a",
)
ERRORS = ("#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "#error!")  # of spreadsheets
WHOLE, EXPONENT = r"(0|[1-9][0-9]*)", r"([eE][+-]?[0-9]+)?"
GROUPED = r"[1-9][0-9]{0,2}"
BLANKS = r" \x{a0}\x{202f}"  # the usual one, and two at which no line breaks
FORMS = {  # how a number may be written; 007 and 2023_09 are codes, not numbers
    "plain": rf"^[+-]?({WHOLE}(\.[0-9]*)?|\.[0-9]+){EXPONENT}$",
    "whole": rf"^[+-]?{WHOLE}$",
    "dotted": rf"^[+-]?{GROUPED}\.[0-9]{{3}}$",  # 1.934: a plain number or, beside decimal commas, perhaps 1934
    "comma": rf"^[+-]?({WHOLE},[0-9]+|{GROUPED}([.'{BLANKS}][0-9]{{3}})+,[0-9]+|{GROUPED}(\.[0-9]{{3}}){{2,}})"
    + rf"{EXPONENT}$",
    "groups": rf"^[+-]?({GROUPED}(,[0-9]{{3}}){{2,}}(\.[0-9]+)?|{GROUPED}(,[0-9]{{3}})+\.[0-9]+)$",
    "either": rf"^[+-]?{GROUPED},[0-9]{{3}}$",  # 1,934 is 1934 or 1.934
    "spaced": rf"^[+-]?{GROUPED}(['{BLANKS}][0-9]{{3}})+(\.[0-9]+)?$",
}
NO_NUMBER = "?.?"  # in place of a cell that must not be read as a number
CURRENCY = "[$€£¥]|AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HUF|INR|JPY|NOK|PLN|SEK|USD"
SIGNED = rf"^[+-]?(({CURRENCY}) ?[0-9][0-9., ']*|[0-9][0-9., ']* ?(%|{CURRENCY}))$"
PHONE = r"^(\+|00)[0-9][0-9 /().-]{7,}$"
TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?( ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?$"
    r"|^(0?[1-9]|[12][0-9]|3[01])\.(0?[1-9]|1[0-2])\.[0-9]{4}([T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?$"
)
CLOCK = r"^[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?$"
OTHER_TIME = (
    r"^[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}([T ,]+[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?( ?[AaPp][Mm])?)?$"
    rf"|{CLOCK}"
)


def is_text(column: pa.Array) -> bool:
    """Return whether a column holds text."""
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def is_numeric(kind: pa.DataType) -> bool:
    """Return whether a type of Arrow is for numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def is_temporal(kind: pa.DataType) -> bool:
    """Return whether a type of Arrow is for moments or days."""
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def trimmed(column: pa.Array, more: tuple[str, ...] = ()) -> pa.Array:
    """Return a column of text without blanks around the cells, and null where a cell is missing.

    more: further words that mark a missing value, beside MISSING and ERRORS. Upper and lower case are equal.
    """
    cells = pc.utf8_trim_whitespace(column.cast(pa.string()))  # pandas writes large strings
    words = pa.array([*MISSING, *ERRORS, *(word.lower() for word in more)])
    return pc.if_else(pc.is_in(pc.utf8_lower(cells), words), pa.scalar(None, cells.type), cells)


def numbers(
    column: pa.Array, *, decimal: str = ".", thousands: str | None = None, missing: tuple[str, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Read the cells of a column as numbers, and return (x, is_odd), each (rows,).

    decimal: the decimal mark; thousands: the mark between groups of three digits, "" for none, None if nobody has said
    it: beside decimal commas, 4.902 is then no number; missing: further words that mark a missing value. All three
    matter for a column of text only.

    x is float64 and NaN where a cell is missing or not a number; is_odd is True where a cell is neither missing nor a
    number. True and false count as 1 and 0, moments of Arrow's types as seconds since 1970.
    """
    if not is_text(column):
        kind = column.type
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        elif is_temporal(kind):
            return seconds(column), np.zeros(len(column), dtype=bool)
        elif not is_numeric(kind):
            return np.full(len(column), np.nan), np.asarray(pc.is_valid(column))
        x = np.array(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
        return x, np.zeros(len(x), dtype=bool)
    cells = trimmed(column, missing)
    if decimal == "," and thousands is None:  # then 4.902 may mean 4902
        cells = _without(cells, FORMS["dotted"])
    cells = _pointed(_ungrouped(cells, decimal, thousands), decimal, thousands)
    is_number = pc.match_substring_regex(cells, FORMS["plain"])
    fit = pc.if_else(is_number, cells, pa.scalar(None, cells.type))
    fit = pc.replace_substring_regex(fit, r"^\+", "")
    x = np.array(fit.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    return x, np.asarray(pc.fill_null(pc.invert(is_number), False))


def is_form(column: pa.Array, form: str, missing: tuple[str, ...] = ()) -> np.ndarray:
    """Return which cells of a column of text are written in one of FORMS, (rows,) bool."""
    return np.asarray(pc.fill_null(pc.match_substring_regex(trimmed(column, missing), FORMS[form]), False))


def _ungrouped(cells: pa.Array, decimal: str, thousands: str | None) -> pa.Array:
    """Remove the marks between groups of three digits; a cell with a mark elsewhere keeps it, and is not a number."""
    if not thousands:
        return cells
    mark = f"[{BLANKS}]" if thousands == " " else f"[{thousands}]"
    is_grouped = pc.match_substring_regex(cells, rf"^[+-]?[0-9]{{1,3}}({mark}[0-9]{{3}})+([{decimal}][0-9]*)?$")
    return pc.if_else(pc.fill_null(is_grouped, False), pc.replace_substring_regex(cells, mark, ""), cells)


def _without(cells: pa.Array, pattern: str) -> pa.Array:
    """Replace the cells in which a regular expression is found by one that is no number."""
    is_found = pc.fill_null(pc.match_substring_regex(cells, pattern), False)
    return pc.if_else(is_found, pa.scalar(NO_NUMBER, cells.type), cells)


def _pointed(cells: pa.Array, decimal: str, thousands: str | None) -> pa.Array:
    """Write the decimal mark as a point.

    If points separate thousands, `_ungrouped` has removed them. A cell that still has a point is then no number.
    """
    if decimal == ".":
        return cells
    if thousands == ".":
        cells = _without(cells, "[.]")
    return pc.replace_substring(cells, ",", ".")


def seconds(column: pa.Array, missing: tuple[str, ...] = ()) -> np.ndarray:
    """Return (rows,) float64 seconds since 1970, UTC; NaN where a cell is missing or neither a date nor a time.

    Text is in ISO form, or has the day first and points, as in 31.12.2024 08:15.
    """
    if is_text(column):
        import pandas as pd  # takes half a second, and only a table with times needs it

        from gen_models.table import DAY_FIRST

        iso = trimmed(column, missing)
        for pattern, replacement in (*DAY_FIRST, (" ?UTC$", "Z")):
            iso = pc.replace_substring_regex(iso, pattern, replacement)
        moments = pd.to_datetime(iso.to_pandas(), errors="coerce", utc=True, format="ISO8601")
        return _seconds(moments.to_numpy(dtype="datetime64[us]"))
    return _seconds(column.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False))


def words(column: pa.Array, missing: tuple[str, ...] = ()) -> np.ndarray:
    """Return (rows,) objects: the text of each cell, or None where a cell is missing.

    In a column that is not text, the number 3.0 becomes "3", and true becomes "true".
    """
    from gen_models.table import word_of

    if is_text(column):
        return np.array(trimmed(column, missing).to_pylist(), dtype=object)
    return np.array([word_of(value) for value in column.to_pylist()], dtype=object)


def coded(column: pa.Array, missing: tuple[str, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Return (the different words of a column, (rows,) the index among them of each cell's word).

    A caller can then look at each word once. The word of a missing cell is None.
    """
    cells = trimmed(column, missing) if is_text(column) else column
    packed = pc.dictionary_encode(cells, null_encoding="encode")
    return words(packed.dictionary), np.asarray(packed.indices)


def matching(cells: pa.Array, form: str) -> int:
    """Return how many cells match a regular expression."""
    return pc.sum(pc.match_substring_regex(cells, form)).as_py() or 0


def _seconds(moments: np.ndarray) -> np.ndarray:
    micro = moments.astype("datetime64[us]")
    found: Any = micro.astype(np.int64) / 1e6
    return np.where(np.isnat(micro), np.nan, found)
