"""An outlier detector with any model and score; threshold and p-values come from rows that it was not trained on."""

import numpy as np

from gen_models_sklearn.calibrated import CalibratedDetector
from gen_models_sklearn.scoring import ScoringEstimator

SCORE_ROWS = 1000  # training rows to which the score is fitted


class GenerativeOutlierDetector(CalibratedDetector, ScoringEstimator):
    """An outlier detector that trains a model of gen_models and scores rows with it. See CalibratedDetector.

    anomaly_score   nll, neg_elbo, reconstruction, critic, ...; None: the first of these four that the model offers
    calibration     the fraction of the rows of X on which the model is not trained: they set threshold and p-values
    fpr             the false-positive rate of `predict`: the fraction of normal rows that it may call outliers
    model, arguments, levels, steps, batch, seed, device   see GenerativeEstimator

    After `fit`: what CalibratedDetector and ScoringEstimator name. For PyOD's polarity, see PyODDetector.
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

    def _train(self, rows: np.ndarray, order: np.ndarray) -> None:
        self._train_model(rows)
        self._fit_score(rows[order[:SCORE_ROWS]])

    def _scores(self, X: np.ndarray) -> np.ndarray:
        return -self._anomaly(X)
