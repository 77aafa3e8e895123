"""An outlier detector with any model and score; threshold and p-values come from rows that it was not trained on."""

import warnings
from typing import Any

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

import gen_models
from gen_models.anomalies.conformal import conformal_p, q_values, threshold
from gen_models.anomalies.scores import DEFAULTS
from gen_models.errors import ConfigError
from gen_models_sklearn.estimator import GenerativeEstimator

KEPT_ROWS = 1000  # training rows that are kept, if the score needs training rows


class GenerativeOutlierDetector(OutlierMixin, GenerativeEstimator):
    """An outlier detector for X whose rows are mostly, or all, normal.

    The polarity is scikit-learn's: `score_samples` and `decision_function` are larger for rows that are more normal,
    and `predict` returns 1 for normal rows, -1 for outliers. For PyOD's, see PyODDetector.

    anomaly_score   nll, neg_elbo, reconstruction, critic, ...; None: the first of these four that the model offers
    calibration     the fraction of the rows of X on which the model is not trained: they set threshold and p-values
    fpr             the false-positive rate of `predict`: the fraction of normal rows that it may call outliers
    model, arguments, levels, steps, batch, seed, device   see GenerativeEstimator

    After `fit`: calibration_scores_, score_samples of the calibration rows; offset_, below which score_samples means an
    outlier. If a normal row is exchangeable with the n calibration rows, `predict` calls it an outlier with a
    probability of at most fpr, however bad the model is. If n < 1/fpr - 1, `predict` calls no row an outlier.
    """

    def __init__(
        self,
        model="gmm",
        *,
        arguments=None,
        levels=None,
        steps=None,
        batch=128,
        seed=0,
        device="cpu",
        anomaly_score=None,
        calibration=0.2,
        fpr=0.1,
    ):
        super().__init__(model, arguments=arguments, levels=levels, steps=steps, batch=batch, seed=seed, device=device)
        self.anomaly_score = anomaly_score
        self.calibration = calibration
        self.fpr = fpr

    def fit(self, X: Any, y: Any = None) -> "GenerativeOutlierDetector":
        """Train on a part of the rows of X, and calibrate on the others; y is ignored."""
        _require_share("calibration", self.calibration)
        _require_share("fpr", self.fpr)
        X = self._rows(X, reset=True, least=2)
        order = np.random.default_rng(self.seed).permutation(len(X))
        held = min(max(1, round(self.calibration * len(X))), len(X) - 1)
        rows = X[np.sort(order[held:])]
        self._train(rows)
        self.reference_ = None if self.anomaly_score in (None, *DEFAULTS) else X[order[held : held + KEPT_ROWS]]
        self.calibration_scores_ = np.sort(self._scores(X[order[:held]]))
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
        return self._scores(self._rows(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return score_samples(X) - offset_: below 0 for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for each row that is called normal, -1 for each outlier."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def pvalues(self, X: Any) -> np.ndarray:
        """Return the p-value of each row, p = (1 + #{calibration rows that are at most as normal}) / (n + 1).

        n is the number of calibration rows, so p is never 0. If a row is exchangeable with the calibration rows,
        P(p <= t) <= t for every t (Vovk, Gammerman and Shafer, 2005).
        """
        return conformal_p(-self.calibration_scores_, -self.score_samples(X))

    def select(self, X: Any, *, alpha: float = 0.1) -> np.ndarray:
        """Return whether each row is called an outlier, (rows,) of bool, at a false-discovery rate of alpha.

        On average, at most a fraction alpha of the rows that are called outliers is normal. This is the procedure of
        Benjamini and Hochberg (1995) on `pvalues`, which is valid for conformal p-values (Bates et al., 2023). With n
        calibration rows no p-value lies below 1/(n + 1), so to call k of m rows outliers takes n + 1 >= m/(k alpha).
        """
        _require_share("alpha", alpha)
        return q_values(self.pvalues(X)) <= alpha

    def _scores(self, X: np.ndarray) -> np.ndarray:
        return -gen_models.score(self.model_, X, self.anomaly_score, reference=self.reference_).astype(np.float64)


def _require_share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise ConfigError(f"{name} = {value!r} cannot be used: give a share between 0 and 1")
