"""Writes the answer of a command: as CSV to the terminal, or to a file, in one step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gen_models.errors import DataError
from gen_models.files import replacing

OUTPUTS = (".npy", ".csv")


def check_suffix(path: Path | None) -> None:
    """Raise DataError for an output whose name ends with neither .npy nor .csv."""
    if path is not None and path.suffix not in OUTPUTS:
        raise DataError(f"--output {path}: expected a name that ends with {' or '.join(OUTPUTS)}")


def deliver(values: np.ndarray, output: Path | None, name: str) -> None:
    """Print values (rows, columns) as CSV, or write them to a file. `name` is the header of the columns."""
    columns = [name] if values.shape[1] == 1 else [f"{name}{k}" for k in range(values.shape[1])]
    if output is None:
        print(_csv(values, columns), end="")
        return
    if output.suffix == ".npy":
        save_rows(output, values)
    else:
        with _whole(output) as file:
            file.write(_csv(values, columns).encode())
    print(f"{output}: {len(values)} rows of {values.shape[1]}: {columns[0]}{' ..' if len(columns) > 1 else ''}")


def save_rows(output: Path, rows: np.ndarray) -> None:
    """Write a .npy file in one step, so that it is complete or absent. Raises DataError if it cannot be written."""
    with _whole(output) as file:
        np.save(file, rows, allow_pickle=False)


@contextmanager
def _whole(output: Path) -> Iterator[BinaryIO]:
    try:
        with replacing(output) as file:
            yield file
    except OSError as error:
        raise DataError(f"{output}: cannot be written ({error.strerror})") from None


def _csv(values: np.ndarray, columns: Sequence[str]) -> str:
    lines = [",".join(columns), *(",".join(repr(float(value)) for value in row) for row in values)]
    return "\n".join(lines) + "\n"
