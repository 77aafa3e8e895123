"""Turns the rows of a table into numbers as its schema says, block by block; training and scoring both use it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gen_models.errors import DataError
from gen_models.table import A_TIME, Column, Schema
from pipelines.data.sources.files import shown
from pipelines.data.tables import cells
from pipelines.data.tables.open_table import Reading, Table


@dataclass(frozen=True)
class Block:
    """Successive rows of a table as numbers.

    first     the index in the file of the block's first row; rows count from 0
    x         (rows, numbers) float64: the numbers that the schema makes of each row
    problems  {index of a row in this block: why the row cannot be used}
    words     {column: (rows,) the text of each cell, None where it is missing}, for columns asked for as `others`
    """

    first: int
    x: np.ndarray
    problems: dict[int, str]
    words: dict[str, np.ndarray]


def encoded(table: Table, schema: Schema, *, others: Sequence[str] = ()) -> Iterator[Block]:
    """Yield the rows of a table as numbers, one block after another.

    others: further columns whose cells are wanted as text, such as the label and identifiers

    Raises DataError, which names the file, if the table lacks a column of the schema.
    """
    try:
        schema.require(table.names)
    except DataError as error:
        raise DataError(f"{shown(table.path)}: {error}") from None
    names = [column.name for column in schema.columns]
    reading, first = table.reading or Reading(), 0
    for block in table.blocks([*dict.fromkeys([*names, *others])]):
        parts: list[np.ndarray] = []
        problems: dict[int, str] = {}
        for column in schema.columns:
            part, found = _numbers_of(block[column.name], column, reading)
            parts.append(part)
            problems |= {row: reason for row, reason in found.items() if row not in problems}
        words = {name: cells.words(block[name], reading.missing) for name in others}
        yield Block(first, np.concatenate(parts, axis=1), problems, words)
        first += len(parts[0])


def _numbers_of(values: pa.Array, column: Column, reading: Reading) -> tuple[np.ndarray, dict[int, str]]:
    if column.kind in ("category", "flag"):
        words, places = cells.coded(values, reading.missing)
        x, problems = column.encode(words)
        spread = {}
        if problems:
            for row in np.flatnonzero(np.isin(places, list(problems))):
                spread[int(row)] = problems[int(places[row])]
        return x[places], spread
    if column.kind == "time" and cells.is_text(values):
        x = cells.seconds(values, reading.missing)
        numbers, odd = cells.numbers(values, missing=reading.missing)
        x = np.where(np.isnan(x), numbers, x)  # `sample` writes hours and weekdays as numbers
        odd &= np.isnan(x)
    else:
        x, odd = cells.numbers(values, decimal=reading.point, thousands=reading.thousands, missing=reading.missing)
    encoded_, problems = column.encode(x)
    for row in np.flatnonzero(odd):
        cell = str(values[int(row)].as_py()).strip()[:60]
        problems[int(row)] = f"{column.name}: {cell!r} is not {A_TIME if column.kind == 'time' else 'a number'}"
    return encoded_, problems
