"""The schema of a table: what each column holds, and how its values become numbers for a model, and back.

    number     becomes 1 number
    count      1 whole number
    flag       0 or 1 for one of two words
    category   a number for each of its values (one-hot)
    time       1 number: see TIMES

A column with `missing: fill` has one more number, an indicator: 1 where the cell is empty, else 0. An empty cell is
filled with the median of the training rows. With `missing: value`, a category has one more value, which marks rows
whose cell is empty. The schema is plain data, so that a manifest and a checkpoint can hold it. This module needs numpy
only.
"""

import datetime
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from gen_models.errors import DataError, unknown

KINDS = ("number", "count", "flag", "category", "time")
MISSING = REFUSE, FILL, VALUE = "refuse", "fill", "value"  # what is done about a missing value
NO_VALUE = ""  # the value of a category that stands for a missing one
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 to 9999, since 1970
DAY = 86400.0
MOST_NAMED = 20  # columns of a table in a message
LARGEST = 1e150  # the square of a larger number, which a variance needs, may overflow float64
TIMES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # from seconds since 1970, UTC
    "seconds": lambda t: t,
    "days": lambda t: np.floor(t / DAY),
    "hour": lambda t: np.floor(t / 3600) % 24,
    "weekday": lambda t: (np.floor(t / DAY) + 3) % 7,  # Monday is 0
}
DAY_FIRST = (  # what makes 1.6.2024 8:15 the ISO form 2024-06-01 08:15: (pattern, replacement), one after another
    (r"^([0-9]{1,2})[.]([0-9]{1,2})[.]([0-9]{4})", r"\3-\2-\1"),
    (r"-([0-9])-", r"-0\1-"),
    (r"-([0-9])($|[T ])", r"-0\1\2"),
    (r"[T ]([0-9]):", r"T0\1:"),
)
TRUTH = (  # pairs of words for no and yes
    ("false", "true"),
    ("no", "yes"),
    ("n", "y"),
    ("f", "t"),
    ("off", "on"),
    ("0", "1"),
    ("0.0", "1.0"),
    ("nein", "ja"),
    ("falsch", "wahr"),  # as a spreadsheet writes them in German, and in French below
    ("non", "oui"),
    ("faux", "vrai"),
    ("no", "si"),
    ("no", "sí"),
)
A_TIME = "a time such as 2024-12-31 08:15 or 31.12.2024"  # what is read as one
COUNTED = {"hour": 24, "weekday": 7}  # times with this many values, which `encode` also takes as they are


@dataclass(frozen=True)
class Column:
    """A column of a table that becomes numbers.

    name     as in the file's header
    kind     one of KINDS
    step     for a number whose values are multiples of a step, such as 0.01 for prices: the step; else None
    values   for a category, its values; for a flag, the word for 0 and the word for 1
    missing  what is done about a missing value. refuse: the row cannot be used. fill: the training median replaces it,
             and an indicator is added. value: a category has one more value for it
    fill     the median of the training rows, which `prepare` finds; None before
    as_      for a time, one of TIMES

    Raises DataError for another kind, missing or as_, or without the values that the kind needs.
    """

    name: str
    kind: str = "number"
    step: float | None = None
    values: tuple[str, ...] = ()
    missing: str = REFUSE
    fill: float | None = None
    as_: str = "seconds"

    def __post_init__(self) -> None:
        for what, value, choices in (
            ("kind", self.kind, KINDS),
            ("missing", self.missing, MISSING),
            ("as_", self.as_, TIMES),
        ):
            if value not in choices:
                raise DataError(f"column {self.name!r}: {unknown(what, str(value), choices)}")
        if self.kind == "flag" and len(self.values) != 2:
            raise DataError(f"column {self.name!r}: a flag has two values, its words for 0 and 1: ('false', 'true')")
        if self.kind == "category" and not self.all_values:
            raise DataError(f"column {self.name!r}: a category has values, the words that it may hold")

    @cached_property
    def levels(self) -> list[Any]:
        """The column's entries in a model's argument `levels`; see gen_models.layers.levels."""
        own: list[Any] = [self.step]
        if self.kind == "flag":
            own = ["flag"]
        elif self.kind == "category":
            return [{"category": len(self.all_values)}]
        elif self.kind in ("count", "time"):
            own = [1]
        return [*own, "flag"] if self.missing == FILL else own

    @cached_property
    def all_values(self) -> tuple[str, ...]:
        """The values of a category; with `missing: value`, also NO_VALUE, which marks empty cells."""
        return (*self.values, NO_VALUE) if self.missing == VALUE else self.values

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each of the column's numbers."""
        if self.kind == "category":
            return tuple(f"{self.name} is {value or 'missing'}" for value in self.all_values)
        return (self.name, f"{self.name} is missing") if self.missing == FILL else (self.name,)

    def encode(self, values: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        """Return ((rows, len(names)) float64, {row: why its value cannot be used}).

        values  (rows,) numbers, with NaN for a missing one; or words, with None. Times are seconds since 1970, UTC,
                datetime values or text, in ISO form or as 31.12.2024 08:15. An hour or weekday may also be the number
                that `decode` returns
        """
        if self.kind == "category":
            return self._one_hot(values)
        x, problems = self._flags(values) if self.kind == "flag" else self._numbers(values)
        is_missing = np.isnan(x)
        for row in np.flatnonzero(is_missing) if self.missing == REFUSE else ():
            problems.setdefault(int(row), f"{self.name}: missing")
        if self.missing != FILL:
            return x[:, None], problems
        if self.fill is not None:
            x = np.where(is_missing, self.fill, x)
        return np.stack([x, is_missing.astype(np.float64)], axis=1), problems

    def decode(self, x: np.ndarray) -> list[Any]:
        """Return the value of each row, None where it is missing: the inverse of `encode`.

        x  (rows, len(names)), which may also be a model's samples
        """
        if self.kind == "category":
            found = [self.all_values[k] for k in x.argmax(axis=1)]
            return [value if value != NO_VALUE else None for value in found]
        shown = [self._value(float(number)) for number in x[:, 0]]
        if self.missing == FILL:
            is_missing = x[:, 1] >= 0.5
            return [None if gone else value for value, gone in zip(shown, is_missing, strict=True)]
        return shown

    def _value(self, number: float) -> Any:
        if self.kind == "flag":
            return self.values[int(number >= 0.5)]
        if self.kind == "time" and self.as_ in ("seconds", "days"):
            seconds = number * (DAY if self.as_ == "days" else 1)
            seconds = min(max(seconds, FIRST_SECOND), LAST_SECOND)  # a model may go far beyond the data
            moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=round(seconds))
            return moment.date().isoformat() if self.as_ == "days" else moment.isoformat()
        if self.kind in ("count", "time"):
            return round(number)
        if self.step is not None:
            value = round(number / self.step) * self.step
            if float(self.step).is_integer():
                return int(value)
            return round(value, max(0, -math.floor(math.log10(self.step)) + 6))
        return float(f"{number:.9g}")

    def _numbers(self, values: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        problems: dict[int, str] = {}
        if values.dtype.kind in "fiu":
            x = values.astype(np.float64)
        elif values.dtype.kind == "M":
            micro = values.astype("datetime64[us]")
            x = np.where(np.isnat(micro), np.nan, micro.astype(np.int64) / 1e6)
        else:
            what = A_TIME if self.kind == "time" else "a number"
            read = _seconds if self.kind == "time" else _number
            x = np.array([read(value) for value in values], dtype=np.float64)
            for row in np.flatnonzero(np.isnan(x)):
                if word_of(values[row]) is not None:
                    problems[int(row)] = f"{self.name}: {word_of(values[row])!r} is not {what}"
        if self.kind == "time":
            is_decoded = np.isin(x, np.arange(COUNTED.get(self.as_, 0)))  # `decode` gives no date
            x = np.where(is_decoded, x, TIMES[self.as_](x))
        for row in np.flatnonzero(np.abs(x) > LARGEST):
            what = f"too large, at most {LARGEST:g}" if np.isfinite(x[row]) else "not a finite number"
            problems[int(row)] = f"{self.name}: {x[row]} is {what}"
        if self.kind == "count":
            for row in np.flatnonzero(np.isfinite(x) & (x != np.rint(x))):
                problems[int(row)] = f"{self.name}: {x[row]} is not a whole number"
        return x, problems

    def _flags(self, values: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        def form(word: str) -> str:  # a column of 0 and 1 with a missing cell is written as 0.0 and 1.0 elsewhere
            return word.lower().removesuffix(".0")

        lookup = {form(word): k for k, word in enumerate(self.values)}
        for pair in TRUTH if set(lookup) in map(set, TRUTH) else ():  # other words for no and yes mean the same
            no = 0 if any(word in lookup and lookup[word] == 0 for word, _ in TRUTH) else 1
            lookup = {pair[0]: no, pair[1]: 1 - no, **lookup}
        return self._looked_up(values, lookup, form)

    def _one_hot(self, values: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        codes, problems = self._looked_up(values, {word: k for k, word in enumerate(self.values)}, str)
        is_missing = np.isnan(codes)
        for row in np.flatnonzero(is_missing):
            if self.missing == VALUE and int(row) not in problems:
                codes[row] = len(self.values)
            problems.setdefault(int(row), f"{self.name}: missing") if self.missing != VALUE else None
        x = np.zeros((len(values), len(self.all_values)))
        known = np.flatnonzero(~np.isnan(codes))
        x[known, codes[known].astype(np.int64)] = 1
        return x, problems

    def _looked_up(
        self, values: np.ndarray, lookup: Mapping[str, int], form: Callable[[str], str]
    ) -> tuple[np.ndarray, dict[int, str]]:
        words = [word_of(value) for value in values]
        codes = np.array([math.nan if word is None else lookup.get(form(word), -1) for word in words], dtype=np.float64)
        known = ", ".join(self.values[:9]) + (", ..." if len(self.values) > 9 else "")
        problems = {int(row): f"{self.name}: {words[row]!r} is not among {known}" for row in np.flatnonzero(codes < 0)}
        codes[codes < 0] = math.nan
        return codes, problems


@dataclass(frozen=True)
class Schema:
    """The columns of a table that become numbers, in the order in which a row holds their numbers."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each number of a row."""
        return tuple(name for column in self.columns for name in column.names)

    @property
    def discrete(self) -> frozenset[str]:
        """The names of the numbers that are discrete: all but the values of number columns without a step.

        Models dequantise them, so that even a column of equal numbers has a bounded density.
        """
        continuous = {column.names[0] for column in self.columns if column.kind == "number" and column.step is None}
        return frozenset(self.names) - continuous

    @property
    def levels(self) -> list[Any]:
        """The model's argument `levels` for this table; see gen_models.layers.levels."""
        return [entry for column in self.columns for entry in column.levels]

    @property
    def groups(self) -> dict[str, tuple[int, int]]:
        """{column: (first index, last index + 1) of its numbers}."""
        found, start = {}, 0
        for column in self.columns:
            found[column.name] = (start, start + len(column.names))
            start += len(column.names)
        return found

    def encode(self, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[int, str]]:
        """Return ((rows, numbers) float64, {row: the first reason why it cannot be used}).

        values  {column: its values}, as in Column.encode

        Raises DataError that names the column if a column is missing.
        """
        self.require(values)
        problems: dict[int, str] = {}
        parts = []
        for column in self.columns:
            part, found = column.encode(np.asarray(values[column.name]))
            parts.append(part)
            problems = {**found, **problems}
        return np.concatenate(parts, axis=1), problems

    def decode(self, x: np.ndarray, statistics: Mapping[str, Any] | None = None) -> dict[str, list[Any]]:
        """Return {column: its values} for rows of numbers: the inverse of `encode`, with None for a missing value.

        statistics  {"min", "max"} of the numbers in the training rows, to which counts, times and numbers with a step
                    are limited, as a model's reconstructions may leave them: a count would be negative; None: no limit
        """
        groups = self.groups
        if statistics and {"min", "max"} <= set(statistics):
            x = x.copy()
            for column in self.columns:
                if column.kind in ("count", "time") or column.step is not None:
                    place = groups[column.name][0]
                    x[:, place] = x[:, place].clip(statistics["min"][place], statistics["max"][place])
        return {column.name: column.decode(x[:, slice(*groups[column.name])]) for column in self.columns}

    def require(self, there: Iterable[str]) -> None:
        """Raise DataError if a column of the schema is not in `there`, the columns of another table.

        The error names these columns and those that are there.
        """
        names = set(names_there := list(there))
        absent = {column.name: column.missing != REFUSE for column in self.columns if column.name not in names}
        if absent:
            raise DataError(missing_columns(absent, names_there, [column.name for column in self.columns]))

    def filled(self, medians: Sequence[float | None]) -> "Schema":
        """Return a copy of the schema with the training medians: one for each column, None where there is none."""
        pairs = zip(self.columns, medians, strict=True)
        return Schema(tuple(replace(column, fill=fill) for column, fill in pairs))

    def as_json(self) -> list[dict[str, Any]]:
        """Return the schema as plain data: a mapping for each column, without the fields that have their default."""
        default = asdict(Column(""))
        return [
            {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(column).items() if v != default[k]}
            for column in self.columns
        ]


def from_json(columns: Sequence[Mapping[str, Any]]) -> Schema:
    """Return the schema whose method `as_json` returned `columns`."""
    return Schema(tuple(Column(**{**column, "values": tuple(column.get("values", ()))}) for column in columns))


def groups_of(about: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return {column: (first index, last index + 1) of its numbers} for rows of numbers.

    about  a manifest, or what a checkpoint says of its data: event_shape, and table or columns if there are any

    Without either, the columns are called x0, x1, ...
    """
    if "table" in about:
        return from_json(about["table"]["columns"]).groups
    width = math.prod(about["event_shape"])
    names = list(about.get("columns") or ()) or [f"x{k}" for k in range(width)]
    return {name: (k, k + 1) for k, name in enumerate(names)}


def word_of(value: Any) -> str | None:
    """Return a value as a file would write it: 3.0 as "3", True as "true"; None if the value is missing."""
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return None
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    return None if (text := str(value).strip()) in ("", "NaT", "<NA>") else text


def missing_columns(absent: Mapping[str, bool], there: Sequence[str], wanted: Sequence[str]) -> str:
    """Return the error message for a table that lacks columns of the training table.

    absent  {column: whether the model knows what to do with one without values}; at least one
    there   the columns of the table
    wanted  the columns of the training table
    """
    near = _alike(list(absent), [one for one in there if one not in wanted])
    fixes = [f"rename {old!r} to {name!r}" for name, old in list(near.items())[:MOST_NAMED]]
    if added := [name for name in absent if name not in near]:
        it = _named([repr(name) for name in added]) if near else "it" if len(added) == 1 else "them"
        one = "its cells" if len(added) == 1 else "their cells"
        fixes.append(f"add {it}{f' ({one} may be empty)' * all(absent[name] for name in added)}")
        fixes[-1] += f"; the model takes {_named(wanted)}"
    what, are = ("column", "is") if len(absent) == 1 else ("columns", "are")
    names = _named([repr(name) for name in absent])
    return f"{what} {names}, on which the model was trained, {are} missing among {_named(there)}: {', '.join(fixes)}"


def _alike(absent: Sequence[str], free: Sequence[str]) -> dict[str, str]:
    """Return {absent column: the free column whose name is nearly the same}; each free column is taken once."""
    from difflib import get_close_matches

    spelt = {one.strip().lower(): one for one in free}
    found = {name: spelt.pop(plain) for name in absent if (plain := name.strip().lower()) in spelt}
    for name in absent:
        left = [one for one in free if one not in found.values()]
        if name not in found and (near := get_close_matches(name, left, n=1, cutoff=0.8)):
            found[name] = near[0]
    return found


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(list(names)[:MOST_NAMED]) + more


def _seconds(value: Any) -> float:
    """Return the seconds since 1970, UTC, of a datetime, a text such as in `encode` or a number; NaN for others."""
    word = word_of(value)
    if word is None or isinstance(value, (int, float, np.number)):
        return _number(value)
    iso = word
    for pattern, replacement in DAY_FIRST:
        iso = re.sub(pattern, replacement, iso)
    try:
        moment = datetime.datetime.fromisoformat(iso)
    except ValueError:
        return _number(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _number(value: Any) -> float:
    word = word_of(value)
    if word is None or "_" in word:
        return math.nan
    try:
        return float(word)
    except ValueError:
        return math.nan
