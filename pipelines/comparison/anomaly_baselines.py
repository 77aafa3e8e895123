"""Anomaly scores that need no network, fitted to the same training rows as the models' scores.

They are the reconstruction error of PCA (a model whose AUROC is lower has learned nothing useful), the mean distance to
the nearest training rows, and an isolation forest (Liu, Ting and Zhou, 2008).
"""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from pipelines.comparison.free_detectors import Score, components_of, forest, nearest, pca
from pipelines.evaluation.anomaly_assessment import Scored, assess, is_measured
from pipelines.evaluation.prepared_rows import RowsOf
from pipelines.evaluation.row_scores import REFERENCE_ROWS

NEIGHBOURS = 5
LARGEST = 1e30  # the forest takes numbers that 32 bits can hold

Scorer = Callable[[Tensor], np.ndarray]


def anomaly_baselines(rows: RowsOf, seed: int) -> list[Scored]:
    """Measure each baseline's score as a run's scores are measured; return its record and its values on the test split.

    Returns an empty list if no class is held out or if the test rows have too few anomalies.
    """
    if not is_measured(rows, f"baselines of {rows.data.name}"):
        return []
    fitted = fit(rows, rows.normal("train")[:REFERENCE_ROWS], seed)
    test, calibration = rows.data.rows("test"), rows.normal("calibration")
    return [assess(rows, who, name, score(test), score(calibration)) for (who, name), score in fitted.items()]


def fit(rows: RowsOf, reference: Tensor, seed: int) -> dict[tuple[str, str], Scorer]:
    """Fit the baselines to reference rows; return {(baseline, score): function from rows to the scores of these rows}.

    The reference rows, and the rows that the functions take, are in the data's units.
    """

    def flat(x: Tensor) -> np.ndarray:
        return rows.units(x).flatten(1).double().clamp(-LARGEST, LARGEST).numpy()

    def scorer(score: Score) -> Scorer:
        return lambda x: score(flat(x))

    known = flat(reference)
    return {
        ("pca", f"reconstruction_{components_of(known)}"): scorer(pca(known)),
        ("nearest_neighbours", f"mean_distance_{NEIGHBOURS}"): scorer(nearest(known, NEIGHBOURS)),
        ("isolation_forest", "isolation"): scorer(forest(known, seed)),
    }
