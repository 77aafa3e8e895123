"""Detectors of anomalies that need no network, fitted to rows of numbers: neighbours, principal components, a forest.

Each takes training rows (rows, numbers) and returns a function from rows to scores; larger is more anomalous.
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
    """Return the mean distance to the nearest training rows."""
    found = NearestNeighbors(n_neighbors=min(neighbours, len(train))).fit(train)
    return lambda x: found.kneighbors(x)[0].mean(axis=1)


def components_of(train: np.ndarray) -> int:
    """Return how many components `pca` has."""
    return min(COMPONENTS, max(1, train.shape[1] // 2), len(train))


def pca(train: np.ndarray) -> Score:
    """Return the squared error of a row that is rebuilt from its principal components."""
    found = PCA(components_of(train), svd_solver="full").fit(train)
    return lambda x: np.square(found.inverse_transform(found.transform(x)) - x).sum(axis=1)


def forest(train: np.ndarray, seed: int) -> Score:
    """Return the score of an isolation forest (Liu, Ting and Zhou, 2008)."""
    found = IsolationForest(n_estimators=TREES, random_state=seed, n_jobs=1).fit(train)
    return lambda x: -found.score_samples(x)
