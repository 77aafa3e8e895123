"""The argument `levels` of a model: whether the numbers of a row are grey levels, continuous, or columns of a table.

A density can be arbitrarily high at the values of a discrete number, so a model must know which numbers are discrete:

    q       grey levels: whole numbers 0 .. q - 1, such as the pixels of an image
    None    continuous numbers
    a list  an entry for each column of a table, in order:
                None             a continuous number
                s, above 0       a multiple of s, such as 0.01 or 1: a price, a count
                "flag"           0 or 1
                {"category": k}  one of k categories as k numbers, of which one is 1 and the others are 0

`levels` comes from YAML files, so it consists of plain numbers, words, lists and mappings only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_whole

FLAG, CATEGORY = "flag", "category"

Column = float | str | Mapping[str, int] | None
Levels = int | Sequence[Column] | None


@dataclass(frozen=True)
class Coordinates:
    """What is known about each number of a table's row.

    steps   the distance between neighbouring values, for each number of the row; 0 for a continuous number
    flags   the indices of the numbers that are flags
    groups  (first index, last index + 1) of the numbers of each category
    """

    steps: tuple[float, ...]
    flags: tuple[int, ...]
    groups: tuple[tuple[int, int], ...]

    @property
    def labels(self) -> list[int]:
        """The indices of all numbers that are flags or belong to a category, in increasing order."""
        return sorted([*self.flags, *(i for first, end in self.groups for i in range(first, end))])

    @property
    def numbers(self) -> list[int]:
        """The indices of all other numbers, in increasing order."""
        labels = set(self.labels)
        return [i for i in range(len(self.steps)) if i not in labels]


def grey_levels(levels: Levels) -> int | None:
    """Return q if `levels` says that the data are on q grey levels, else None."""
    return levels if isinstance(levels, int) else None


def is_table(levels: object) -> TypeGuard[Sequence[Column]]:
    """Return whether `levels` lists the columns of a table."""
    return isinstance(levels, Sequence) and not isinstance(levels, str)


def coordinates(columns: Sequence[Column], event_shape: Sequence[int]) -> Coordinates:
    """Return what the columns of a table say about each number of a row.

    Raises ConfigError for an unknown kind of column, for an event_shape that is not [D], and for columns that do not
    have D numbers in all.
    """
    if len(event_shape) != 1:
        raise ConfigError(
            f"event_shape = {list(event_shape)} cannot be used: levels lists the columns of a table, with rows of one "
            f"axis; for images give levels as a number or null"
        )
    steps: list[float] = []
    flags, groups = [], []
    for i, column in enumerate(columns):
        if isinstance(column, Mapping):
            size = _size(i, column)
            groups.append((len(steps), len(steps) + size))
            steps += [1.0] * size
            continue
        if column == FLAG:
            flags.append(len(steps))
        steps.append(_step(i, column))
    if len(steps) != event_shape[0]:
        raise ConfigError(
            f"levels lists columns of {len(steps)} numbers, and event_shape = {list(event_shape)} cannot be used: "
            f"give an entry for each column; {{category: k}} takes k numbers, any other entry 1"
        )
    return Coordinates(tuple(steps), tuple(flags), tuple(groups))


def _step(i: int, column: float | str | None) -> float:
    if column is None:
        return 0.0
    if column == FLAG:
        return 1.0
    if isinstance(column, bool) or not isinstance(column, int | float) or not 0 < column < math.inf:
        raise ConfigError(
            f"levels[{i}] = {column!r} cannot be used: give null, a number above 0, flag or {{category: k}}"
        )
    return float(column)


def _size(i: int, column: Mapping[str, int]) -> int:
    if set(column) != {CATEGORY}:
        raise ConfigError(
            f"levels[{i}] = {dict(column)!r} cannot be used: give {{category: k}}, k the number of values"
        )
    require_whole(f"levels[{i}].{CATEGORY}", column[CATEGORY], least=2)
    return column[CATEGORY]
