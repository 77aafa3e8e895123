"""Clusters against classes: three measures that do not depend on the names of the clusters.

They are accuracy under the best one-to-one matching (Kuhn, 1955; in clustering since Yang et al., 2010), normalised
mutual information (Strehl and Ghosh, 2002; here over the arithmetic mean of the entropies) and the adjusted Rand index
(Hubert and Arabie, 1985, eq. 5). A perfect match gives 1. Chance gives 0 in the adjusted Rand index and more than 0 in
the others.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment


def cluster_accuracy(classes: ArrayLike, clusters: ArrayLike) -> float:
    """Return the largest fraction of rows whose class matches their cluster, over one-to-one matchings of the two.

    It is max_m mean_i [class_i = m(cluster_i)]. All rows of a cluster without a partner count as wrong.
    """
    table = contingency(classes, clusters)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum())


def normalised_mutual_information(classes: ArrayLike, clusters: ArrayLike) -> float:
    """Return I(class; cluster) / ((H(class) + H(cluster)) / 2); 1 if there is only one class and one cluster."""
    joint = contingency(classes, clusters)
    joint = joint / joint.sum()
    h_class, h_cluster = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
    mean = (h_class + h_cluster) / 2
    return float((h_class + h_cluster - _entropy(joint.ravel())) / mean) if mean > 0 else 1.0


def adjusted_rand(classes: ArrayLike, clusters: ArrayLike) -> float:
    """Return (pairs together in both - expected) / (mean of pairs together in one - expected).

    Two rows are together in a partition if they have the same class, or the same cluster. `expected` is the number of
    pairs together in both by chance, and the mean is taken over the two partitions. If the denominator is 0, return 1.
    """
    table = contingency(classes, clusters)
    together = _pairs(table).sum()
    in_class, in_cluster = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    expected = in_class * in_cluster / max(_pairs(table.sum()), 1)
    most = (in_class + in_cluster) / 2
    return float((together - expected) / (most - expected)) if most != expected else 1.0


def contingency(classes: ArrayLike, clusters: ArrayLike) -> np.ndarray:
    """Return a table (classes, clusters): how many rows have each class and lie in each cluster."""
    _, rows = np.unique(np.asarray(classes), return_inverse=True)
    _, columns = np.unique(np.asarray(clusters), return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1), dtype=np.int64)
    np.add.at(table, (rows, columns), 1)
    return table


def _pairs(n):
    return n * (n - 1) / 2


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())
