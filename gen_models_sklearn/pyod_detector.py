"""A detector with the attributes and methods of PyOD's detectors, so that PyOD's tools take it.

PyOD need not be installed.
"""

from typing import Any

import numpy as np
from scipy.special import erf
from sklearn.utils.validation import check_is_fitted

from gen_models.errors import ConfigError, unknown
from gen_models_sklearn.calibrated import less_rounding, require_share
from gen_models_sklearn.estimator import LEAST_ROWS
from gen_models_sklearn.scoring import ScoringEstimator

PROBABILITIES = ("linear", "unify")


class PyODDetector(ScoringEstimator):
    """A detector with PyOD's polarity: scores are larger for rows that are more anomalous, and `predict` says 1 or 0.

    contamination   the fraction of X that is called anomalous, at most 0.5: the threshold is a quantile of the training
                    rows' scores. For a threshold from rows that were not trained on, see GenerativeOutlierDetector
    anomaly_score   nll, neg_elbo, reconstruction, critic, ...; None: the first of these four that the model offers
    model, arguments, levels, steps, batch, seed, device   see GenerativeEstimator

    After `fit`: decision_scores_, the scores of the training rows; threshold_; labels_, 1 for training rows with a
    score above the threshold, else 0; and what ScoringEstimator names.
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
        contamination=0.1,
    ):
        super().__init__(model, arguments=arguments, levels=levels, steps=steps, batch=batch, seed=seed, device=device)
        self.anomaly_score = anomaly_score
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> "PyODDetector":
        """Train on the rows of X; y is ignored."""
        require_share("contamination", self.contamination, most=0.5)
        X = self._rows(X, reset=True, least=LEAST_ROWS)
        self._train_model(X)
        self._fit_score(X)
        scores = self._anomaly(X)
        self.decision_scores_ = scores.astype(np.float64)
        self.threshold_ = float(np.quantile(self.decision_scores_, 1 - self.contamination))
        self.labels_ = self._labels(scores)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return a score for each row; larger is more anomalous."""
        check_is_fitted(self)
        return self._anomaly(self._rows(X)).astype(np.float64)

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for anomalies, 0 for normal rows."""
        check_is_fitted(self)
        return self._labels(self._anomaly(self._rows(X)))

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Train on the rows of X and return their labels: 1 for anomalies, 0 for normal rows."""
        return self.fit(X).labels_

    def predict_proba(self, X: Any, method: str = "linear") -> np.ndarray:
        """Return (rows, 2): how normal and how anomalous each row is, two numbers in [0, 1] with sum 1.

        The second number is made from the row's score by `method`:

        linear  (score - least)/(largest - least), with the least and the largest score of the training rows; clipped
        unify   max(0, erf(z/sqrt 2)), where z is the score standardised by the training rows (Kriegel et al., 2011)
        """
        if method not in PROBABILITIES:
            raise ConfigError(unknown("method", method, PROBABILITIES))
        scores, seen = self.decision_function(X), self.decision_scores_
        if method == "linear":
            anomalous = (scores - seen.min()) / (np.ptp(seen) or 1.0)
        else:
            anomalous = erf((scores - seen.mean()) / (np.sqrt(2) * (seen.std() or 1.0)))
        anomalous = anomalous.clip(0, 1)
        return np.stack([1 - anomalous, anomalous], axis=1)

    def _labels(self, scores: np.ndarray) -> np.ndarray:
        return (less_rounding(scores, self.decision_scores_) > self.threshold_).astype(int)
