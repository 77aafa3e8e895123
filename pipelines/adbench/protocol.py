"""The protocol of the benchmark: which rows of a table train a detector, and which rows test it.

The normal rows are shuffled by the seed. One half trains; the other half and all anomalies are the test rows. At most
MOST_ROWS rows of each kind (training rows, normal test rows, anomalies) are used. Columns are standardised by the mean
and standard deviation of the training rows; a column that is constant in the training rows is only centred. Labels
serve to measure only: no detector sees them. This is the protocol of Livernoche et al. (2024) for training on one
class, except that they repeat the rows of small tables, and this project does not.
"""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gen_models.errors import DataError

MOST_ROWS = 10_000


@dataclass(frozen=True)
class TableFile:
    """A table of the benchmark.

    path    its file, NUMBER_NAME.npz
    number  its number in the benchmark; detectors were developed on tables with odd numbers, and tables with even
            numbers only confirm them
    """

    path: Path
    number: int

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Split:
    """The rows of a table that train and test a detector, standardised: (rows, columns) each.

    is_anomaly  whether each test row is an anomaly, (test rows,)
    is_copy     whether each test row is equal to some training row, (test rows,)
    """

    train: np.ndarray
    test: np.ndarray
    is_anomaly: np.ndarray
    is_copy: np.ndarray


def tables_in(folder: Path) -> list[TableFile]:
    """Return the tables NUMBER_NAME.npz in a folder, in the order of their numbers. Raises DataError if it has none."""
    found = []
    for path in folder.glob("*.npz") if folder.is_dir() else ():
        number = path.stem.partition("_")[0]
        if number.isdecimal():
            found.append(TableFile(path.absolute(), int(number)))  # a job runs in a folder of its own
    if not found:
        raise DataError(
            f"{folder}: no tables of ADBench, such as 4_breastw.npz with X and y; its repository has them under "
            "adbench/datasets/Classical"
        )
    return sorted(found, key=lambda table: table.number)


def sha256(table: TableFile) -> str:
    """Return the hash of a table's file. Raises DataError if it cannot be read."""
    try:
        with table.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{table.path}: cannot be read ({error.strerror})") from None


def split(table: TableFile, seed: int, most_rows: int = MOST_ROWS) -> Split:
    """Return the rows of a table that train and test a detector, drawn by the seed.

    most_rows: the most rows of each kind: training rows, normal test rows, anomalies

    Raises DataError unless the file holds X, finite numbers (rows, columns), and y, a label for each row, of which some
    are 0 (normal) and some are 1 (anomaly).
    """
    try:
        with np.load(table.path, allow_pickle=False) as stored:
            x, y = np.asarray(stored["X"], dtype=np.float64), np.asarray(stored["y"]).ravel()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{table.path}: not a table with X and y ({error}); take another copy") from None
    if x.ndim != 2 or len(x) != len(y) or not np.isfinite(x).all() or not (y == 0).any() or not (y == 1).any():
        raise DataError(f"{table.path}: X {x.shape} and y {y.shape} are not finite rows with labels 0 and 1")
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(y == 0))
    odd = rng.permutation(np.flatnonzero(y == 1))[:most_rows]
    half = len(normal) // 2
    train, held = x[normal[:half][:most_rows]], x[normal[half:][:most_rows]]
    test = np.concatenate([held, x[odd]])
    known = {row.tobytes() for row in train + 0.0}  # adding 0 turns -0 into 0, whose bytes differ
    mean, std = train.mean(axis=0), train.std(axis=0)
    std[std == 0] = 1
    return Split(
        (train - mean) / std,
        (test - mean) / std,
        np.arange(len(test)) >= len(held),
        np.array([row.tobytes() in known for row in test + 0.0]),
    )
