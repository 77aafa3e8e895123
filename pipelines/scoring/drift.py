"""Compares the scores of new rows with the scores of calibration rows, and keeps a history of the comparisons.

Calibration rows are normal rows that the training has not seen. There are three tests. The two-sample
Kolmogorov-Smirnov test compares all scores. It hardly sees a few per cent of very unusual rows; so two tests compare
how many new rows have conformal p-values of at most 0.05, and of at most 0.01, with what chance explains. The p-value
of the comparison is three times the smallest of the three (Bonferroni): if the rows of a file come from the
distribution of the calibration rows, it is below 0.01 with a probability of at most 1%. A row that has no score,
because it cannot be read, counts as more anomalous than every row that has one: calibration rows can all be read. The
tests see only scores: rows that have changed, but have the same scores as before, go unnoticed.

The history is a CSV with a line for each comparison.
"""

import csv
import datetime
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from scipy.stats import ks_2samp

from gen_models.anomalies.conformal import chance_of_flagged, conformal_p
from gen_models.errors import DataError
from gen_models.files import replacing
from pipelines.evaluation.score_sheet import usual_rate

SECONDS_TO_WAIT = 20
LEAST_ROWS = 8  # with fewer, no difference could be seen
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TAILS = (0.05, 0.01)  # the p-values at or below which new rows are counted


@dataclass(frozen=True)
class Check:
    """One comparison, which is a line of the history.

    time, input    when it was made (ISO form, UTC), and the name of the file of new rows
    model, score   the model, and the name of its anomaly score
    rows           how many of the new rows have a score
    problems       how many of the new rows have no score
    distance       statistic of the Kolmogorov-Smirnov test: the largest difference of the two distribution functions of
                   the scores
    p              the p-value of the three tests together
    unusual        the fraction of the new rows whose conformal p-value is at most `usual_rate`, or that have no score
    q05 .. q95     quantiles of the finite scores of the new rows
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
    """Compare the scores of new rows with the scores of calibration rows.

    scores: of new rows, (rows,), NaN for a row without a score; calibration: of calibration rows, (n,)
    name, model, score: the names of the file, of the model and of its anomaly score, for the history

    Raises DataError if there are fewer than LEAST_ROWS new rows or calibration rows.
    """
    has_score, finite = ~np.isnan(scores), scores[np.isfinite(scores)]
    for what, count in (("rows", len(scores)), ("calibration rows", len(calibration))):
        if count < LEAST_ROWS:
            raise DataError(f"{name}: {count} {what}; a comparison needs at least {LEAST_ROWS}, so give more rows")
    ranked = np.where(has_score, scores, np.inf)
    found, p = ks_2samp(calibration, ranked), conformal_p(calibration, ranked)
    many = (chance_of_flagged(int((p <= rate).sum()), len(p), len(calibration), rate) for rate in TAILS)
    return Check(
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        name,
        model,
        score,
        int(has_score.sum()),
        int((~has_score).sum()),
        float(found.statistic),
        min(1.0, (1 + len(TAILS)) * min(float(found.pvalue), *many)),
        float(((p <= usual_rate(len(calibration))) | ~has_score).mean()),
        *(float(value) for value in np.quantile(finite if len(finite) else [np.nan], QUANTILES)),
    )


def read_history(path: Path) -> list[Check]:
    """Return the comparisons in the file of a history, oldest first; [] if there is no file.

    Raises DataError, which names the line, if the file is not a history.
    """
    if not path.is_file():
        return []
    found = []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
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
    """Add a comparison to the file of a history, and return all its comparisons, oldest first.

    The file is written anew and replaced as a whole. Raises DataError if it is not a history or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=SECONDS_TO_WAIT):  # of another comparison
            checks = [*read_history(path), check]
            text = io.StringIO()
            writer = csv.DictWriter(text, [field.name for field in fields(Check)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(one) for one in checks)
            with replacing(path) as file:
                file.write(text.getvalue().encode())
    except Timeout:
        raise DataError(f"{path}: another process is writing it; run the same command again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None
    return checks


def bands(checks: Sequence[Check]) -> np.ndarray:
    """Return the quantiles of the scores of each comparison, (comparisons, len(QUANTILES))."""
    return np.array([[one.q05, one.q25, one.q50, one.q75, one.q95] for one in checks])


def _typed(kind: object, text: str) -> str | int | float:
    return {"int": int, "float": float}.get(getattr(kind, "__name__", str(kind)), str)(text)
