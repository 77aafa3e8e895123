"""Conformal p-values: they turn any score into a test of known level (Vovk, Gammerman and Shafer, 2005).

Decisions on many rows control the fraction of normal rows that are called anomalous (`fpr`), or the fraction of normal
rows among those called anomalous (`fdr`). Conformal p-values from one calibration set depend on each other positively,
so the procedure of Benjamini and Hochberg (1995) keeps the false-discovery rate (Bates et al., 2023, "Testing for
outliers with conformal p-values").
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import betabinom, false_discovery_control, randint

from gen_models.errors import DataError


def conformal_p(calibration: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """Return p = (1 + #{calibration >= s}) / (n + 1) for each score s; NaN for a score that is NaN.

    calibration (n,) are scores of normal rows that were used neither to train nor to choose the model. If a new row is
    exchangeable with them, P(p <= t) <= t for every t: a test that calls rows with p <= 0.05 anomalous has a
    false-positive rate of at most 5%, whatever the score. The 1 in the numerator makes this true for any n.
    """
    calibration, scores = np.sort(_known(calibration)), np.asarray(scores)
    below = np.searchsorted(calibration, scores, side="left")
    p = (1 + len(calibration) - below) / (len(calibration) + 1)
    return np.where(np.isnan(scores), np.nan, p)


def threshold(calibration: ArrayLike, rate: float) -> float:
    """Return the score above which rows have p <= rate; inf if the calibration rows are too few for the rate.

    A row has p <= rate if at most rate (n + 1) - 1 of the n calibration scores are as large as its score, or larger.
    """
    ordered = np.sort(_known(calibration))
    allowed = _p_values(len(ordered), rate) - 1
    if allowed < 0:
        return math.inf
    return float(ordered[len(ordered) - 1 - allowed]) if allowed < len(ordered) else -math.inf


def _known(calibration: ArrayLike) -> np.ndarray:
    """Return calibration scores as float64. Raises DataError if one is NaN: it would raise every p-value."""
    scores = np.asarray(calibration, dtype=np.float64)
    if np.isnan(scores).any():
        raise DataError(f"calibration score {int(np.isnan(scores).argmax())} is nan: leave such rows out")
    return scores


def q_values(p: ArrayLike) -> np.ndarray:
    """Return, for p-values p (rows,), the smallest false-discovery rate at which each row would be called anomalous.

    The result is called q. Benjamini and Hochberg's procedure at the false-discovery rate a calls the rows with q <= a.
    q is NaN where p is NaN.
    """
    p = np.asarray(p, dtype=np.float64)
    q, is_known = np.full(len(p), np.nan), ~np.isnan(p)
    if is_known.any():
        q[is_known] = false_discovery_control(p[is_known], method="bh")
    return q


def least_rows(rate: float) -> int:
    """Return the fewest calibration rows n with which a row can be called anomalous at a rate: 1/(n + 1) <= rate.

    1/(n + 1) is the smallest p-value that a row can have.
    """
    return math.ceil(1 / rate - 1e-9) - 1


def attained(calibration_rows: int, rate: float) -> float:
    """Return the share of normal rows that have p <= rate: the largest p-value there is, k/(n + 1), up to the rate."""
    return _p_values(calibration_rows, rate) / (calibration_rows + 1)


def most_flagged(rows: int, calibration_rows: int, rate: float) -> int:
    """Return how many of `rows` normal rows may have p <= rate by chance: more do in one case of 40, or fewer.

    Over draws of the calibration rows the share of such rows has the beta distribution Beta(k, n + 1 - k) with the mean
    `attained` (Vovk, 2012), so their number has the beta-binomial one; the result is its 97.5% quantile.
    """
    return int(_flagged(rows, calibration_rows, rate).ppf(0.975))


def chance_of_flagged(count: int, rows: int, calibration_rows: int, rate: float) -> float:
    """Return the probability that `count` or more of `rows` normal rows have p <= rate; see `most_flagged`."""
    return float(min(1.0, _flagged(rows, calibration_rows, rate).pmf(np.arange(count, rows + 1)).sum()))


def _flagged(rows: int, calibration_rows: int, rate: float) -> Any:
    """Return the distribution of how many of `rows` normal rows have p <= rate, as `most_flagged` says."""
    k = _p_values(calibration_rows, rate)
    if not 0 < k <= calibration_rows:
        return randint(rows if k else 0, rows + 1 if k else 1)  # all of them, or none
    return betabinom(rows, k, calibration_rows + 1 - k)


def _p_values(calibration_rows: int, rate: float) -> int:
    """Return how many of the p-values 1/(n + 1), 2/(n + 1), ... are at most the rate."""
    return math.floor(rate * (calibration_rows + 1) + 1e-9)


def require_rows(calibration_rows: int, rate: float) -> None:
    """Raise DataError unless 0 < rate < 1 and the smallest p-value, 1/(calibration_rows + 1), is at most the rate."""
    if not 0 < rate < 1:
        raise DataError(f"a rate of {rate:g}: give a number between 0 and 1, such as 0.01")
    if calibration_rows < least_rows(rate):
        raise DataError(
            f"the model has {calibration_rows} calibration rows, and a rate of {rate:g} needs at least "
            f"{least_rows(rate)}; give a rate of {rounded_up(1 / (calibration_rows + 1))} or more, or train on data "
            "with more rows, or with a larger share `calibration:` in split"
        )


def rounded_up(rate: float) -> str:
    """Return a rate as text with two significant digits, rounded up, such as "0.013" for 0.0123."""
    digits = max(0, 1 - math.floor(math.log10(rate)))
    return f"{math.ceil(rate * 10**digits - 1e-12) / 10**digits:.{digits}f}"
