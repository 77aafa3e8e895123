"""Detectors of anomalies that need no network: nearest neighbours, principal components, an isolation forest.

Each takes training rows (rows, numbers) and returns its score: a function that takes new rows (n, numbers) and returns
a value for each, (n,). A larger value is more anomalous.
"""

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors

COMPONENTS = 16  # PCA has these, or half of the dimensions if that is less; fixed, because labels must not choose it
TREES = 200

Score = Callable[[np.ndarray], np.ndarray]


def nearest(train: np.ndarray, neighbours: int) -> Score:
    """Return the score of nearest neighbours: a row's mean distance to its `neighbours` nearest training rows."""
    found = NearestNeighbors(n_neighbors=min(neighbours, len(train))).fit(train)
    return lambda x: found.kneighbors(x)[0].mean(axis=1)


def components_of(train: np.ndarray) -> int:
    """Return how many components `pca` takes for these training rows."""
    return min(COMPONENTS, max(1, train.shape[1] // 2), len(train))


def pca(train: np.ndarray) -> Score:
    """Return the score of PCA: a row's squared error after reconstruction from its principal components."""
    found = PCA(components_of(train), svd_solver="full").fit(train)
    return lambda x: np.square(found.inverse_transform(found.transform(x)) - x).sum(axis=1)


def forest(train: np.ndarray, seed: int) -> Score:
    """Return the score of an isolation forest (Liu, Ting and Zhou, 2008)."""
    found = IsolationForest(n_estimators=TREES, random_state=seed, n_jobs=1).fit(train)
    return lambda x: -found.score_samples(x)
