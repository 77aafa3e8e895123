"""Compares the scores of new rows with those of calibration rows, and keeps a history of such comparisons.

The test is Kolmogorov and Smirnov's of two samples: if the new rows are of the same kind as the calibration rows, its
p-value is below 0.01 in at most 1% of files. Rows that are merely as unusual as before in another way are not seen.
"""

import csv
import datetime
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from gen_models.anomalies.conformal import conformal_p
from gen_models.errors import DataError
from gen_models.files import replacing

LEAST_ROWS = 8  # with fewer, no difference could be seen
USUAL_RATE = 0.05  # of calibration rows that have a p-value of at most this
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Check:
    """One comparison, a line of the history.

    time: in ISO form, UTC; rows: that were scored; problems: that were not; distance: the largest difference of the two
    distribution functions; p: of the test; unusual: the share of rows whose own p-value is at most USUAL_RATE
    q05 .. q95: quantiles of the scores
    """

    time: str
    input: str
    model: str
    score: str
    rows: int
    problems: int
    distance: float
    p: float
    unusual: float
    q05: float
    q25: float
    q50: float
    q75: float
    q95: float


def compare(scores: np.ndarray, calibration: np.ndarray, *, name: str, model: str, score: str) -> Check:
    """Compare the scores (rows,) of new rows, NaN where there is none, with calibration scores (n,).

    Raises DataError if there are fewer than LEAST_ROWS of either.
    """
    finite = scores[np.isfinite(scores)]
    for what, count in (("rows with a score", len(finite)), ("calibration rows", len(calibration))):
        if count < LEAST_ROWS:
            raise DataError(f"{name}: {count} {what}; a comparison needs at least {LEAST_ROWS}, so give more rows")
    found = ks_2samp(calibration, finite)
    return Check(
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        name,
        model,
        score,
        len(finite),
        int(np.isnan(scores).sum()),
        float(found.statistic),
        float(found.pvalue),
        float((conformal_p(calibration, finite) <= USUAL_RATE).mean()),
        *(float(value) for value in np.quantile(finite, QUANTILES)),
    )


def read_history(path: Path) -> list[Check]:
    """Read a history, [] if there is none. Raises DataError, with the line, if it is no history."""
    if not path.is_file():
        return []
    found = []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        names = [field.name for field in fields(Check)]
        if list(reader.fieldnames or ()) != names:
            raise DataError(f"{path}: not a history of drift; its first line must be {','.join(names)}; name another")
        for number, line in enumerate(reader, start=2):
            try:
                typed: dict[str, Any] = {field.name: _typed(field.type, line[field.name]) for field in fields(Check)}
                found.append(Check(**typed))
            except (TypeError, ValueError):
                raise DataError(f"{path}, line {number}: not a line of a history; remove it") from None
    return found


def append(path: Path, check: Check) -> list[Check]:
    """Add a line to a history, which is replaced as a whole; return all of its lines."""
    checks = [*read_history(path), check]
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Check)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in checks)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(text.getvalue().encode())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None
    return checks


def bands(checks: Sequence[Check]) -> np.ndarray:
    """Return the quantiles of each check, (checks, len(QUANTILES))."""
    return np.array([[one.q05, one.q25, one.q50, one.q75, one.q95] for one in checks])


def _typed(kind: object, text: str) -> str | int | float:
    return {"int": int, "float": float}.get(getattr(kind, "__name__", str(kind)), str)(text)
