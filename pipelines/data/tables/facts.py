"""Looks at every cell of a table once, and keeps what is needed to say what each column holds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.data.tables import cells
from pipelines.data.tables.open_table import Table

MOST_WORDS = 1000  # the words of a column are counted up to so many different ones
SAMPLE_ROWS = 100_000  # whether values repeat, and their order, is judged by so many first rows
MOST_PLACES = 9
LARGEST_WHOLE = 2**53  # float64 holds no larger odd number
FAR = 1e6  # a number is an outlier so many times farther from the median than others: 32 bits then see these as equal
LEAST_FOR_OUTLIER = 10  # with fewer numbers, none is called an outlier
FEW_ODD = 0.1  # if less than this fraction of a column's cells are not numbers, these cells are mistakes among numbers


@dataclass
class Facts:
    """What the cells of one column hold. Rows count from 0.

    storage        how the file stores the column: "text", "number", "bool", "time", or the name of another type
    rows           how many cells were looked at
    forms          {form of a number, a key of cells.FORMS: how many cells have it}
    missing        {the word that marks a missing value, or "empty": how often}
    first_missing  (row, word or "empty") of the first missing cell that a word marks, else of the first empty one
    words          {word: how often}, or None if there are more than MOST_WORDS
    odd            (row, text) of the first cell that is neither missing nor a number, or None
    sample         the numbers of the first SAMPLE_ROWS rows, block by block, NaN where missing
    texts          the cells of about the first SAMPLE_ROWS rows, block by block, if they are text
    low, high      the smallest and the largest number
    low_row        the first row with the smallest number; high_row: with the largest
    is_whole       whether all numbers are whole
    divisor        the largest whole number that divides all numbers while they are whole; 0 while all are 0
    places         the largest number of decimal places that a number needs; None if more than MOST_PLACES
    """

    name: str
    storage: str = "text"
    rows: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    first_missing: tuple[int, str] | None = None
    words: Counter[str] | None = field(default_factory=Counter)
    odd: tuple[int, str] | None = None
    sample: list[np.ndarray] = field(default_factory=list)
    texts: list[pa.Array] = field(default_factory=list)
    low: float = np.inf
    high: float = -np.inf
    low_row: int = 0
    high_row: int = 0
    is_whole: bool = True
    divisor: int = 0
    places: int | None = 0

    @property
    def present(self) -> int:
        """How many cells are not missing."""
        return self.rows - sum(self.missing.values())

    @property
    def share_of_numbers(self) -> float:
        """The fraction of the cells, without missing ones, that are numbers, however they are written."""
        found = sum(self.forms[form] for form in ("plain", "comma", "groups", "spaced"))  # `either` is a `comma` too
        return found / max(self.present, 1)

    @property
    def is_constant(self) -> bool:
        """Whether all cells are equal."""
        if self.words is not None:
            return len(self.words) + bool(self.missing) <= 1
        return self.low == self.high and not self.missing

    def numbers(self) -> np.ndarray:
        """Return the numbers of the sample as one array, without missing ones."""
        x = np.concatenate(self.sample) if self.sample else np.empty(0)
        return x[np.isfinite(x)]

    def outlier(self) -> tuple[int, float] | None:
        """Return (row, number) if the smallest or largest number is an outlier (see FAR), else None."""
        x = self.numbers()
        if len(x) < LEAST_FOR_OUTLIER:
            return None
        median = float(np.median(x))
        usual = float(np.quantile(np.abs(x - median), 0.99, method="lower"))
        row, far = max(((self.low_row, self.low), (self.high_row, self.high)), key=lambda end: abs(end[1] - median))
        return (row, far) if 0 < usual * FAR < abs(far - median) else None

    def are_all_different(self) -> bool:
        """Return whether no two cells of the sample are equal."""
        if self.storage == "text":
            texts = pa.chunked_array(self.texts, pa.string()).drop_null() if self.texts else pa.array([], pa.string())
            return len(texts) > 1 and pc.count_distinct(texts).as_py() == len(texts)
        x = self.numbers()
        return len(x) > 1 and len(np.unique(x)) == len(x)

    def are_consecutive(self) -> bool:
        """Return whether the cells count up by one, or down, in the order of the rows."""
        x = self.numbers()
        return (
            len(x) > 2
            and len(x) == sum(map(len, self.sample))
            and (np.diff(x) == np.diff(x)[0]).all()
            and abs(np.diff(x)[0]) == 1
        )


def look(table: Table, most_rows: int | None = None) -> dict[str, Facts]:
    """Look at the rows of a table, and return {column: what its cells hold}.

    most_rows: stop after the block in which so many rows are reached; None: look at all rows
    """
    found = {name: Facts(name) for name in table.names}
    missing = table.reading.missing if table.reading else ()
    rows = 0
    for block in table.blocks():
        for name, column in block.items():
            _add(found[name], column, rows, missing)
        rows += len(next(iter(block.values()))) if block else 0
        if most_rows is not None and rows >= most_rows:
            break
    return found


def with_numbers(
    facts: Mapping[str, Facts],
    table: Table,
    formats: Mapping[str, tuple[str, str | None]],
    most_rows: int | None = None,
) -> None:
    """Read again those columns whose numbers are not written as 1234.5, and correct their facts in place.

    formats: {column: (decimal mark, mark between thousands or None)} of these columns; most_rows: as for `look`
    """
    for name in formats:
        facts[name].sample, facts[name].odd, facts[name].is_whole, facts[name].divisor = [], None, True, 0
        facts[name].low, facts[name].high, facts[name].places = np.inf, -np.inf, 0
    rows = 0
    for block in table.blocks(list(formats)) if formats else ():
        for name, column in block.items():
            decimal, thousands = formats[name]
            x, odd = cells.numbers(
                column, decimal=decimal, thousands=thousands, missing=table.reading.missing if table.reading else ()
            )
            _add_numbers(facts[name], x, odd, column, rows)
        rows += len(column)
        if most_rows is not None and rows >= most_rows:
            break


def _add(facts: Facts, column: pa.Array, begin: int, missing: tuple[str, ...]) -> None:
    if cells.is_text(column):
        _add_text(facts, column, begin, missing)
        return
    kind = column.type
    facts.storage = "bool" if pa.types.is_boolean(kind) else "time" if cells.is_temporal(kind) else "number"
    if not (facts.storage != "number" or cells.is_numeric(kind)):
        facts.storage = str(kind)
        facts.rows += len(column)
        facts.words = None
        return
    x, odd = cells.numbers(column)
    gone = int(np.isnan(x).sum())
    if gone:
        facts.missing["empty"] += gone
        if facts.first_missing is None:
            facts.first_missing = (begin + int(np.isnan(x).argmax()), "empty")
    facts.rows += len(column)
    facts.forms["plain"] += len(column) - gone
    _count(facts, column)
    _add_numbers(facts, x, odd, column, begin)


def _add_text(facts: Facts, column: pa.Array, begin: int, missing: tuple[str, ...]) -> None:
    trimmed = cells.trimmed(column, missing)
    gone = pc.is_null(trimmed)
    count = pc.sum(gone).as_py() or 0
    if count:
        marks = pc.value_counts(pc.utf8_trim_whitespace(column.filter(gone)))
        for entry in marks:
            facts.missing[entry["values"].as_py() or "empty"] += entry["counts"].as_py()
        if facts.first_missing is None or facts.first_missing[1] == "empty":
            _first_mark(facts, column, gone, begin)
    facts.rows += len(column)
    for form, pattern in cells.FORMS.items():
        if form in ("plain", "whole", "dotted") or facts.forms["plain"] + count < facts.rows:
            facts.forms[form] += cells.matching(trimmed, pattern)
    _count(facts, trimmed)
    if facts.rows <= SAMPLE_ROWS + len(column):
        facts.texts.append(trimmed)
    x, odd = cells.numbers(column, missing=missing)
    _add_numbers(facts, x, odd, column, begin)


def _first_mark(facts: Facts, column: pa.Array, gone: pa.Array, begin: int) -> None:
    """Set `first_missing` to the first missing cell that a word marks, else to the first empty one.

    gone: which cells of the column are missing; begin: the index of its first row in the table
    """
    places = np.flatnonzero(np.asarray(gone))
    for place in places:
        word = (column[int(place)].as_py() or "").strip()
        if word:
            facts.first_missing = (begin + int(place), word)
            return
        facts.first_missing = facts.first_missing or (begin + int(place), "empty")


def _add_numbers(facts: Facts, x: np.ndarray, odd: np.ndarray, column: pa.Array, begin: int) -> None:
    if odd.any() and facts.odd is None:
        row = int(odd.argmax())
        facts.odd = (begin + row, str(column[row].as_py()).strip())
    seen = x[np.isfinite(x)]
    if len(seen):
        if (low := float(seen.min())) < facts.low:
            facts.low, facts.low_row = low, begin + int((x == low).argmax())
        if (high := float(seen.max())) > facts.high:
            facts.high, facts.high_row = high, begin + int((x == high).argmax())
        facts.is_whole = facts.is_whole and bool((seen == np.rint(seen)).all())
        facts.divisor = _divisor(seen, facts.divisor) if facts.is_whole else 1
        facts.places = _places(seen, facts.places)
    held = sum(map(len, facts.sample))
    if held < SAMPLE_ROWS:
        facts.sample.append(x[: SAMPLE_ROWS - held])


def _divisor(x: np.ndarray, known: int) -> int:
    """Return the largest whole number that divides `known` and the whole numbers x; 1 beyond LARGEST_WHOLE."""
    return int(np.gcd.reduce(x.astype(np.int64), initial=known)) if np.abs(x).max() <= LARGEST_WHOLE else 1


def _places(x: np.ndarray, least: int | None) -> int | None:
    """Return how many decimal places numbers need, at least `least`; None if more than MOST_PLACES."""
    for places in range(least, MOST_PLACES + 1) if least is not None else ():
        cells_ = x * 10.0**places
        if np.abs(cells_ - np.rint(cells_)).max() < 1e-6 * 10 ** max(places - 6, 0):
            return places
    return None


def _count(facts: Facts, column: pa.Array) -> None:
    if facts.words is None:
        return
    counts = pc.value_counts(column.drop_null())
    if len(counts) > MOST_WORDS:
        facts.words = None
        return
    for word, count in zip(cells.words(counts.field("values")), counts.field("counts").to_pylist(), strict=True):
        if word is not None:
            facts.words[word] += count
    if len(facts.words) > MOST_WORDS:
        facts.words = None
