"""Counts how many rows of a table have each of the things by which its columns are compared.

The things are, for a category, each of its values; for a flag, its second word; for any other column, to be at most as
large as each of its usual values (gen_models.anomalies.contributions.marginals), and to be smaller than each; and for a
column that may have missing values, to be missing. All but the last are counted among the rows that are not missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gen_models.table import Column, from_json, groups_of

Counts = np.ndarray  # (2, things): how many rows have each thing, and of how many rows


def columns_of(facts: Mapping[str, Any]) -> Sequence[Column]:
    """Return the columns of a table; for rows of numbers without a schema, columns of numbers by their names.

    facts: a manifest, or what registry.serving.facts_of returns
    """
    if "table" in facts:
        return from_json(facts["table"]["columns"]).columns
    return tuple(Column(name) for name in groups_of(facts))


def parts_of(facts: Mapping[str, Any], x: np.ndarray) -> Iterator[tuple[Column, np.ndarray]]:
    """Yield each column with its numbers in the rows x, (rows, numbers of the column)."""
    for column, (first, end) in zip(columns_of(facts), groups_of(facts).values(), strict=True):
        yield column, x[:, first:end]


def counted_columns(facts: Mapping[str, Any], x: np.ndarray, usual: np.ndarray) -> list[Counts]:
    """Return the counts of each column in the rows x, (rows, numbers). usual: (K, numbers), usual values"""
    pairs = zip(parts_of(facts, x), parts_of(facts, usual), strict=True)
    return [_counts(column, part, known) for (column, part), (_, known) in pairs]


def _counts(column: Column, x: np.ndarray, usual: np.ndarray) -> Counts:
    if column.kind == "category":
        return np.stack([x.sum(axis=0), np.full(x.shape[1], len(x))]).astype(np.float64)
    may_miss = x.shape[1] > 1
    is_missing = x[:, 1] >= 0.5 if may_miss else np.zeros(len(x), dtype=bool)
    known, edges = x[~is_missing, :1], np.sort(usual[:, 0]).astype(x.dtype)
    has = known >= 0.5 if column.kind == "flag" else np.concatenate([known <= edges, known < edges], axis=1)
    found = np.stack([has.sum(axis=0), np.full(has.shape[1], len(known))])
    if may_miss:
        found = np.concatenate([found, [[is_missing.sum()], [len(x)]]], axis=1)
    return found.astype(np.float64)
