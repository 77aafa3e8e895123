"""The detectors that are compared: free baselines of scikit-learn, and the product's default detector of tables.

knn1, knn5      mean distance to the nearest training rows
pca             error with 16 principal components, or half of the columns
forest          isolation forest (Liu, Ting and Zhou, 2008)
gaussian        Mahalanobis distance
gmm             a Gaussian mixture of 1 to 32 components, full or diagonal, by the likelihood of a fifth of the rows
default...      gen_models.analysis.table_anomalies, whole or without a measure: see pipelines.adbench.default
"""

import warnings
from collections.abc import Callable

import numpy as np

from pipelines.comparison.free_detectors import Score, forest, nearest, pca

Fit = Callable[[np.ndarray, int], Score]  # (training rows, seed) -> scores of rows, larger is more anomalous

MIXTURES = (1, 2, 4, 8, 16, 32)
REGULARISATION = 1e-4


def gaussian(train: np.ndarray, seed: int) -> Score:
    centre = train.mean(axis=0)
    precision = np.linalg.pinv(np.cov(train.T).reshape(train.shape[1], -1) + 1e-6 * np.eye(train.shape[1]))
    return lambda x: np.einsum("ij,jk,ik->i", x - centre, precision, x - centre)


def gmm(train: np.ndarray, seed: int) -> Score:
    from sklearn.mixture import GaussianMixture

    order = np.random.default_rng(seed).permutation(len(train))
    held, kept = train[order[: max(1, len(train) // 5)]], train[order[max(1, len(train) // 5) :]]
    best, value = None, -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fit has not converged is seen by its likelihood
        for kind in ("full", "diag"):
            for count in (count for count in MIXTURES if count <= len(kept)):
                found = GaussianMixture(count, covariance_type=kind, reg_covar=REGULARISATION, random_state=seed)
                if (likelihood := found.fit(kept).score(held)) > value:
                    best, value = found, likelihood
    assert best is not None
    return lambda x: -best.score_samples(x)


BASELINES: dict[str, Fit] = {
    "knn1": lambda train, seed: nearest(train, 1),
    "knn5": lambda train, seed: nearest(train, 5),
    "pca": lambda train, seed: pca(train),
    "forest": forest,
    "gaussian": gaussian,
    "gmm": gmm,
}
