"""The detectors that are compared: baselines made with scikit-learn, and this project's default detector of tables.

A detector takes training rows (rows, columns) and a seed, and returns a function from new rows to their scores; a
larger score is more anomalous. The scores are

knn1, knn5      the distance to the nearest training row; the mean distance to the five nearest
pca             the squared error of reconstruction from 16 principal components, or half the columns if that is less
forest          the score of an isolation forest (Liu, Ting and Zhou, 2008)
gaussian        the squared Mahalanobis distance to the mean of the training rows
gmm             -log density of a Gaussian mixture. Four fifths of the training rows fit mixtures of 1 to 32 components
                with full and with diagonal covariances, and the other fifth chooses the one of largest likelihood
default...      the score of the default detector, whole or without some of its measures (default.py)
"""

import warnings
from collections.abc import Callable

import numpy as np

from pipelines.comparison.free_detectors import Score, forest, nearest, pca

Fit = Callable[[np.ndarray, int], Score]  # a detector: (training rows, seed) -> function from new rows to scores

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
