"""Measures how well each anomaly score of a run ranks the test rows, for data that hold out classes as anomalies.

Rows of a class that is held out are the anomalies; they are in the test split only. The result for one score is a
record, a dictionary with these keys and the names of run, data and score:

    is_default          whether this is the run's default score, which stands for the run where runs are compared; the
                        model's capabilities choose it, so no test label does. A baseline has one score, its default
    auroc, low, high    area under the ROC curve on the test split, with its 95% interval
    fpr_target          the false-positive rate that was asked for
    fpr, tpr            false-positive and true-positive rate on the test split, where a row is called anomalous if its
                        conformal p-value, computed with the scores of calibration rows, is at most fpr_target; None if
                        there are too few calibration rows for this rate
    average_precision   average precision on the test split; a random ranking would have anomaly_share
    anomaly_share       the fraction of the test rows that are anomalies
    pixel_auroc, pixel_low, pixel_high
                        only for images with masks of their defects: the area under the ROC curve over pixels, which are
                        ranked by the map of errors that the score sums up, with its interval
    kinds               a list with one entry for each class held out (a kind of anomaly): its name as `kind`, its
                        number of test rows, and auroc, low, high and tpr of this class against all normal test rows;
                        [] if only one class is held out

Labels of anomalies are used only to measure. An adversarial model (a generator against a critic) has no likelihood and
no encoder; its score `inversion` searches, for each row, for the nearest sample that the generator can make. If the
search would take long, this score is left out, and a printed line says so.
"""

import math
import time
from typing import Any

import numpy as np

from gen_models.adversarial.game import Game
from gen_models.anomalies.conformal import conformal_p, least_rows
from gen_models.anomalies.search_score import inversion
from gen_models.errors import DataError
from gen_models.measures.ranking import auroc, auroc_interval, average_precision
from gen_models.noise import Noise
from pipelines.evaluation.pixel_scores import pixel_scores
from pipelines.evaluation.prepared_rows import RowsOf
from pipelines.evaluation.row_scores import RowScores
from pipelines.evaluation.trained_run import Trained

FALSE_POSITIVE_RATE = 0.05
SEARCH = {"starts": 4, "steps": 100}  # the search of an inversion; 300 steps make the area on digits 0.004 larger
MOST_NUMBERS = 2_000_000  # an inversion searches for rows with at most this many numbers: minutes on two cores

Scored = tuple[dict[str, Any], np.ndarray]  # the record of a score, and its values (rows,) on the test split


def anomaly_scores(trained: Trained, scored: RowScores, seed: int) -> list[Scored]:
    """Return, for each anomaly score of the run, its record and its values on the test split.

    Returns an empty list if no class is held out. If the test rows have too few anomalies, prints a line that says so
    and returns an empty list as well.
    """
    key = trained.run.key
    if not is_measured(trained, key):
        return []
    found = [
        assess(
            trained, key, name, scored.test[name], scored.calibration[name], is_default=name == scored.fitted.default
        )
        for name in scored.fitted.names
    ]
    of_pixels = pixel_scores(trained, scored, seed)
    for row, _ in found:
        row |= of_pixels.get(row["score"], {})
    return found + _searched(trained, seed, is_default=not found)


def assess(
    rows: RowsOf, who: str, name: str, scores: np.ndarray, calibration: np.ndarray, *, is_default: bool = True
) -> Scored:
    """Measure one score on the test split: its AUROC, and its false- and true-positive rates.

    The rates are those at the threshold that the calibration scores give.

    who: the name of the run or baseline; name: the score's name
    scores: its values on the test split, (rows,)
    calibration: its values on the normal rows of the calibration split, (calibration rows,)
    is_default: whether it is the default score of its run or baseline

    Returns (the record that the module docstring describes, `scores`).
    """
    is_anomaly = rows.is_anomaly("test")
    called = conformal_p(calibration, scores) <= FALSE_POSITIVE_RATE
    can_call = len(calibration) >= least_rows(FALSE_POSITIVE_RATE)
    low, high = auroc_interval(scores, is_anomaly)
    row = {
        "run": who,
        "data": rows.data.name,
        "score": name,
        "is_default": is_default,
        "auroc": auroc(scores, is_anomaly),
        "low": low,
        "high": high,
        "fpr_target": FALSE_POSITIVE_RATE,
        "fpr": float(called[~is_anomaly].mean()) if can_call else None,
        "tpr": float(called[is_anomaly].mean()) if can_call else None,
        "average_precision": average_precision(scores, is_anomaly),
        "anomaly_share": float(is_anomaly.mean()),
        "kinds": [
            {"kind": kind, **of_kind(scores, called if can_call else None, is_kind, ~is_anomaly)}
            for kind, is_kind in rows.kinds().items()
        ],
    }
    return row, scores


def of_kind(
    scores: np.ndarray, called: np.ndarray | None, is_kind: np.ndarray, is_normal: np.ndarray
) -> dict[str, float | None]:
    """Return the numbers rows, auroc, low, high and tpr of a score for one kind of anomaly (one class).

    The test rows of the kind are compared with the normal test rows. All arguments have shape (test rows,): the scores,
    which rows are called anomalous (None if that cannot be said; tpr is then None), which rows belong to the kind, and
    which rows are normal.
    """
    chosen = is_kind | is_normal
    low, high = auroc_interval(scores[chosen], is_kind[chosen])
    return {
        "rows": int(is_kind.sum()),
        "auroc": auroc(scores[chosen], is_kind[chosen]),
        "low": low,
        "high": high,
        "tpr": float(called[is_kind].mean()) if called is not None else None,
    }


def is_measured(rows: RowsOf, who: str) -> bool:
    """Return whether anomaly scores can be measured: whether classes are held out, with enough rows in the test split.

    If classes are held out with too few test rows, prints a line that says so.

    who: the name of the run or baseline, for the printed line

    Raises DataError if there are enough test rows but the data have no calibration split.
    """
    if rows.unmeasured:
        print(f"{who}: no anomaly scores: {rows.unmeasured}")
    if not rows.anomaly or rows.unmeasured:
        return False
    require_calibration(rows)
    return True


def require_calibration(rows: RowsOf) -> None:
    """Raise DataError if the data have no calibration split, whose scores give the threshold."""
    if "calibration" not in rows.data.splits:
        name = rows.data.name
        raise DataError(
            f"{name}: holds out {rows.anomaly_name!r} and has no calibration split; "
            f"add calibration: 0.2 to split in conf/data/{name}.yaml"
        )


def _searched(trained: Trained, seed: int, *, is_default: bool) -> list[Scored]:
    """Return the record and the test scores of `inversion` for an adversarial model; [] for any other model.

    Prints how long the search took, or why it is left out.
    """
    if not isinstance(trained.model, Game):
        return []
    rows = len(trained.data.x("test")) + len(trained.normal("calibration"))
    key, numbers = trained.run.key, rows * math.prod(trained.data.event_shape)
    if numbers > MOST_NUMBERS:
        print(f"{key}: no score by inversion: {rows:,} rows hold {numbers:,} numbers, more than {MOST_NUMBERS:,}")
        return []
    started = time.monotonic()
    search = inversion(trained.model, noise=Noise(seed), **SEARCH)
    test, calibration = (search(x).double().numpy() for x in (trained.data.rows("test"), trained.normal("calibration")))
    found = assess(trained, key, "inversion", test, calibration, is_default=is_default)
    effort = f"{SEARCH['starts']} starts of {SEARCH['steps']} steps each: {time.monotonic() - started:.1f} s"
    print(f"{key}: searched for {rows:,} rows among its samples, {effort}")
    return [found]
