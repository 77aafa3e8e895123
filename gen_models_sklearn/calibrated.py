"""The base class of the outlier detectors: threshold and p-values come from rows that were not trained on."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from gen_models.anomalies.conformal import conformal_p, q_values, threshold
from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_whole
from gen_models_sklearn.estimator import plain

# Rounding, which depends on the rows beside a row, changes a score by less than this fraction of it.
ROUNDING = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-5}


class CalibratedDetector(OutlierMixin, ABC):
    """A base class, beside BaseEstimator, of an outlier detector for X whose rows are mostly, or all, normal.

    The polarity is scikit-learn's: `score_samples` and `decision_function` are larger for rows that are more normal,
    and `predict` returns 1 for normal rows, -1 for outliers.

    calibration  the fraction of the rows of X on which the detector is not trained: they set threshold and p-values
    fpr          the false-positive rate of `predict`: the fraction of normal rows that it may call outliers
    seed         of the choice of calibration rows

    After `fit`: calibration_scores_, score_samples of the calibration rows; offset_, below which score_samples means an
    outlier. If a normal row is exchangeable with the n calibration rows, `predict` calls it an outlier with a
    probability of at most fpr, however bad the detector is. If n < 1/fpr - 1, `predict` calls no row an outlier.
    `predict`, `pvalues` and `select` take scores that differ by rounding only for equal ones; `mean_rank` alone differs
    by a whole rank where another score of the model differs by rounding.
    """

    LEAST_TRAINING_ROWS = 1
    calibration: float
    fpr: float
    seed: int
    _rows: Callable[..., np.ndarray]  # (X, reset=, least=) -> X as an array, after scikit-learn's checks

    @abstractmethod
    def _train(self, rows: np.ndarray, order: np.ndarray) -> None:
        """Train on rows, (rows, ...). order: their indices in random order"""

    @abstractmethod
    def _scores(self, X: np.ndarray) -> np.ndarray:
        """Return a score for each row, (rows,), in the dtype of the computation; larger is more normal."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on a part of the rows of X, and calibrate on the others; y is ignored."""
        require_share("calibration", self.calibration)
        require_share("fpr", self.fpr)
        require_whole("seed", seed := plain(self.seed), least=0)
        X = self._rows(X, reset=True, least=self.LEAST_TRAINING_ROWS + 1)
        order = np.random.default_rng(seed).permutation(len(X))
        held = min(max(1, round(self.calibration * len(X))), len(X) - self.LEAST_TRAINING_ROWS)
        kept = np.sort(order[held:])
        self._train(X[kept], np.searchsorted(kept, order[held:]))
        self.calibration_scores_ = np.sort(self._scores(X[order[:held]]).astype(np.float64))
        self.offset_ = -threshold(-self.calibration_scores_, self.fpr)
        if self.offset_ == -np.inf:
            warnings.warn(
                f"{held} calibration rows are too few for fpr={self.fpr}, so predict calls no row an outlier: raise "
                f"calibration or fpr, or give more rows",
                stacklevel=2,
            )
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return a score for each row; larger is more normal."""
        check_is_fitted(self)
        return self._scores(self._rows(X)).astype(np.float64)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return score_samples(X) - offset_: below 0, by more than rounding, for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for each row that is called normal, -1 for each outlier."""
        return np.where(self._compared(X) > -self.offset_, -1, 1)

    def pvalues(self, X: Any) -> np.ndarray:
        """Return the p-value of each row, p = (1 + #{calibration rows that are at most as normal}) / (n + 1).

        n is the number of calibration rows, so p is never 0. If a row is exchangeable with the calibration rows,
        P(p <= t) <= t for every t (Vovk, Gammerman and Shafer, 2005).
        """
        scores = self._compared(X)
        return conformal_p(-self.calibration_scores_, scores)

    def select(self, X: Any, *, alpha: float = 0.1) -> np.ndarray:
        """Return which rows are called outliers, for a false-discovery rate of alpha.

        On average, at most a fraction alpha of the rows that are called outliers is normal. This is the procedure of
        Benjamini and Hochberg (1995) on `pvalues`, which is valid for conformal p-values (Bates et al., 2023). With n
        calibration rows no p-value lies below 1/(n + 1), so to call k of m rows outliers takes n + 1 >= m/(k alpha).
        """
        require_share("alpha", alpha)
        p = self.pvalues(X)
        if alpha * (1 + (held := len(self.calibration_scores_))) < 1:
            warnings.warn(
                f"{held} calibration rows are too few for alpha={alpha}, so select calls no row an outlier: raise "
                "calibration or alpha, or fit on more rows",
                stacklevel=2,
            )
        return q_values(p) <= alpha

    def _compared(self, X: Any) -> np.ndarray:
        """Return a score for each row, larger for outliers, to compare with those of the calibration rows."""
        check_is_fitted(self)
        return less_rounding(-self._scores(self._rows(X)), self.calibration_scores_)


def less_rounding(scores: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return anomaly scores less what rounding may have added: a row never exceeds itself, scored in another batch.

    scores  in the dtype of the computation
    seen    scores of other rows; a score near 0 may come from numbers of their size
    """
    share, usual = ROUNDING[scores.dtype], np.nan_to_num(np.median(np.abs(seen)))
    scores = scores.astype(np.float64)
    return scores * (1 - share * np.sign(scores)) - share * usual


def require_share(name: str, value: Any, *, most: float | None = None) -> None:
    """Raise ConfigError unless value is a number above 0, and below 1 or, if `most` is given, at most that."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not is_number or not 0 < value < 1 or value > (most or 1):
        fix = f"above 0, at most {most}" if most else "between 0 and 1"
        raise ConfigError(f"{name} = {value!r} cannot be used: give a share {fix}")
