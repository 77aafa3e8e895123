"""The area under the ROC curve of a score against labels, with a confidence interval.

AUROC = P(score of an anomaly > score of a normal row) + P(equal)/2: the Mann-Whitney statistic.

The interval is Newcombe's (2006, "Confidence intervals for an effect size measure based on the Mann-Whitney
statistic", method 5). It contains the areas theta that lie within z standard errors of the measured one, with Hanley
and McNeil's (1982) standard error *at theta*. DeLong's interval or a bootstrap shrinks to a point where the two groups
are separated perfectly, which would be unjustified with, say, ten anomalies. This interval does not, and needs no seed.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from gen_models.errors import DataError

EDGE = 1e-12


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the area for scores (n,) and labels (n,), true for anomalies; ties count half.

    Raises DataError unless both kinds of rows occur.
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    positives, negatives = _counts(labels)
    ranks = rankdata(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auroc_interval(scores: ArrayLike, labels: ArrayLike, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return (low, high) around `auroc` at the given confidence, within [0, 1]."""
    area = auroc(scores, labels)
    positives, negatives = _counts(np.asarray(labels, dtype=bool))
    z = norm.ppf((1 + confidence) / 2)

    def excess(theta: float) -> float:
        return (area - theta) ** 2 - z**2 * _variance(theta, positives, negatives)

    # if area is 0 or 1, theta = area is itself a root; the root that is sought lies strictly inside
    inside = min(max(area, EDGE), 1 - EDGE)
    low = 0.0 if area == 0.0 else brentq(excess, 0.0, inside)
    high = 1.0 if area == 1.0 else brentq(excess, inside, 1.0)
    return float(low), float(high)


def _variance(theta: float, positives: int, negatives: int) -> float:
    """Return theta (1 - theta) (1 + N (1 - theta)/(2 - theta) + N theta/(1 + theta)) / (m n), N = (m + n)/2 - 1."""
    others = (positives + negatives) / 2 - 1
    spread = 1 + others * (1 - theta) / (2 - theta) + others * theta / (1 + theta)
    return theta * (1 - theta) * spread / (positives * negatives)


def _counts(labels: np.ndarray) -> tuple[int, int]:
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        raise DataError(f"AUROC needs both kinds of rows: found {positives} anomalies and {negatives} normal rows")
    return positives, negatives
