"""Anomaly scores that need no network, fitted to the same training rows as the models' scores.

They are the reconstruction error of PCA (a model whose AUROC is lower has learned nothing useful), the mean distance to
the nearest training rows, and an isolation forest (Liu, Ting and Zhou, 2008).
"""

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from pipelines.evaluation.anomaly_assessment import Scored, assess, is_measured
from pipelines.evaluation.prepared_rows import RowsOf
from pipelines.evaluation.row_scores import REFERENCE_ROWS

COMPONENTS = 16  # PCA has these, or half of the dimensions if that is less; fixed, because labels must not choose it
NEIGHBOURS = 5
TREES = 200

Scorer = Callable[[Tensor], np.ndarray]


def anomaly_baselines(rows: RowsOf, seed: int) -> list[Scored]:
    """Return each baseline's score, measured as a model's is; an empty list where a model's is not measured."""
    if not is_measured(rows, f"baselines of {rows.data.name}"):
        return []
    fitted = fit(rows, rows.normal("train")[:REFERENCE_ROWS], seed)
    test, calibration = rows.data.rows("test"), rows.normal("calibration")
    return [assess(rows, who, name, score(test), score(calibration)) for (who, name), score in fitted.items()]


def fit(rows: RowsOf, reference: Tensor, seed: int) -> dict[tuple[str, str], Scorer]:
    """Fit the baselines to reference rows; return {(baseline, score): function from rows (not scaled) to scores}."""

    def flat(x: Tensor) -> np.ndarray:
        return rows.units(x).flatten(1).double().numpy()

    known = flat(reference)
    pca = PCA(min(COMPONENTS, max(1, known.shape[1] // 2), len(known)), svd_solver="full").fit(known)
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(known))).fit(known)
    forest = IsolationForest(n_estimators=TREES, random_state=seed, n_jobs=1).fit(known)

    def error(x: Tensor) -> np.ndarray:
        values = flat(x)
        return np.square(pca.inverse_transform(pca.transform(values)) - values).sum(axis=1)

    return {
        ("pca", f"reconstruction_{pca.n_components_}"): error,
        ("nearest_neighbours", f"mean_distance_{NEIGHBOURS}"): lambda x: neighbours.kneighbors(flat(x))[0].mean(axis=1),
        ("isolation_forest", "isolation"): lambda x: -forest.score_samples(flat(x)),
    }
