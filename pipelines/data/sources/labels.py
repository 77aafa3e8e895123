"""Turns labels, which may be numbers or names, into indices into a list of classes."""

from pathlib import Path

import numpy as np

from gen_models.errors import DataError
from pipelines.data.sources.files import shown

MOST_CLASSES = 10_000
MOST_LETTERS = 200
MOST_DIGITS = 15  # whole numbers up to 1e15 are exact in a double


def require_name(name: str, what: str) -> None:
    """Raise DataError unless the name of a class or column is printable and short enough for a message or a table.

    what: the class or column and its file, for the error
    """
    if not name.isprintable() or len(name) > MOST_LETTERS:
        raise DataError(f"{what} {name[:40]!r} has a name that is too long or cannot be shown; rename it")


def classes_of(labels: np.ndarray, rows: int, where: Path, of: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (the class of each row (rows,) int64, the names of the classes).

    A class is an index into the names, which are sorted: whole numbers by value, others as text.

    labels: one for each row; rows: how many rows there are; where, of: the files of the labels and of the rows, for
    errors

    Raises DataError if there is not one label for each row, if labels are neither whole numbers nor names, or if too
    many labels differ for them to be classes.
    """
    if labels.ndim != 1 or len(labels) != rows:
        raise DataError(
            f"{shown(where)}: labels of shape {labels.shape} for {rows} rows of {shown(of)}; give each row one label"
        )
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind not in "uibfU":
        raise DataError(f"{shown(where)}: labels of type {labels.dtype}; give whole numbers or names")
    if labels.dtype.kind == "f":
        is_off = ~np.isfinite(labels) | (labels != np.rint(labels)) | (np.abs(labels) > 10.0**MOST_DIGITS)
        if is_off.any():
            row = int(is_off.argmax())
            raise DataError(
                f"{shown(where)}: row {row}: the label {labels[row]} is no whole number; give one for a class"
            )
        labels = labels.astype(np.int64)
    names, y = np.unique(labels, return_inverse=True)
    for name in map(str, names if labels.dtype.kind == "U" else ()):
        require_name(name, f"{shown(where)}: the class")
    if len(names) > MOST_CLASSES:
        raise DataError(
            f"{shown(where)}: {len(names)} different labels in {rows} rows, more than {MOST_CLASSES}: "
            "no classes; leave the labels out"
        )
    return y.astype(np.int64), tuple(str(name) for name in names)
