"""How well a score ranks anomalies above normal rows: the area under the ROC curve, and average precision.

AUROC = P(score of an anomaly > score of a normal row) + P(equal)/2: the Mann-Whitney statistic.

Average precision = sum over thresholds t of (recall(t) - recall(next higher t)) precision(t). A random score has the
fraction of anomalies as its average precision, which therefore depends on how many there are; AUROC does not.

On each side, the interval of the AUROC is the wider of two:

- Newcombe's (2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic", method 5):
  the areas theta within z standard errors of the measured one, with Hanley and McNeil's (1982) standard error *at
  theta*. It does not shrink to a point if the groups are separated perfectly, but it assumes that both spread equally.
- the logit interval with the standard error of DeLong, DeLong and Clarke-Pearson (1988), which uses the spread of the
  scores in each group, and with Student's quantile for the smaller group.

This was checked in 36 cases of normally distributed scores, where the scores of anomalies spread a third to three times
as much as those of normal rows, with as few as 10 anomalies. The 95% interval contains the area in 91% to 100% of the
draws of a case, 97% on average.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata, t

from gen_models.errors import DataError

EDGE = 1e-12
LEAST_ROWS = 2  # of each kind, for the spread of the scores


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the area under the ROC curve for scores (n,) and labels (n,), true for anomalies; ties count half.

    Raises DataError unless both kinds of rows occur, and if a score is NaN.
    """
    scores, labels = _checked(scores, labels)
    positives, negatives = _counts(labels)
    ranks = rankdata(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auroc_interval(scores: ArrayLike, labels: ArrayLike, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return (low, high), the interval around `auroc` at the given confidence, within [0, 1].

    Arguments and errors are those of `auroc`.
    """
    hanley, delong = _by_theta(scores, labels, confidence), _by_placements(scores, labels, confidence)
    return min(hanley[0], delong[0]), max(hanley[1], delong[1])


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the average precision for scores (n,) and labels (n,), true for anomalies; equal scores are one threshold.

    Raises DataError unless both kinds of rows occur, and if a score is NaN.
    """
    scores, labels = _checked(scores, labels)
    positives, _ = _counts(labels)
    order = np.argsort(-scores, kind="stable")
    is_last = np.append(scores[order][1:] != scores[order][:-1], True)  # of the rows with this score
    found, called = np.cumsum(labels[order])[is_last], np.flatnonzero(is_last) + 1
    return float((np.diff(found, prepend=0) / positives * (found / called)).sum())


def _by_theta(scores: ArrayLike, labels: ArrayLike, confidence: float) -> tuple[float, float]:
    """Return Newcombe's interval, the first of the two in the module docstring."""
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


def _by_placements(scores: ArrayLike, labels: ArrayLike, confidence: float) -> tuple[float, float]:
    """Return the logit interval with DeLong's error.

    The error comes from the fraction of rows of the other kind below each anomaly, and above each normal row.
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    positives, negatives = _counts(labels)
    ranks, half = rankdata(scores), 1 / (2 * positives * negatives)
    area = min(max(auroc(scores, labels), half), 1 - half)
    if min(positives, negatives) < LEAST_ROWS:
        return area, area
    of_positives = (ranks[labels] - rankdata(scores[labels])) / negatives
    of_negatives = 1 - (ranks[~labels] - rankdata(scores[~labels])) / positives
    error = np.sqrt(of_positives.var(ddof=1) / positives + of_negatives.var(ddof=1) / negatives)
    reach = t.ppf((1 + confidence) / 2, min(positives, negatives) - 1) * error / (area * (1 - area))
    return float(expit(logit(area) - reach)), float(expit(logit(area) + reach))


def _variance(theta: float, positives: int, negatives: int) -> float:
    """Return the variance of a measured area if the true area is theta, with m anomalies and n normal rows:

    theta (1 - theta) (1 + N (1 - theta)/(2 - theta) + N theta/(1 + theta)) / (m n), N = (m + n)/2 - 1.
    """
    others = (positives + negatives) / 2 - 1
    spread = 1 + others * (1 - theta) / (2 - theta) + others * theta / (1 + theta)
    return theta * (1 - theta) * spread / (positives * negatives)


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise DataError(f"scores of shape {scores.shape} and labels of shape {labels.shape}: give one of each a row")
    if np.isnan(scores).any():
        raise DataError(f"score {int(np.isnan(scores).argmax())} is nan, which has no rank: leave such rows out")
    return scores, labels


def _counts(labels: np.ndarray) -> tuple[int, int]:
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        raise DataError(f"AUROC needs both kinds of rows: found {positives} anomalies and {negatives} normal rows")
    return positives, negatives
