"""The base class of the detectors that score rows with a model of gen_models."""

import numpy as np
import torch
from torch import nn

from gen_models.anomalies.score import Setting
from gen_models.anomalies.scores import FittedScores, fit_scores, offered
from gen_models.errors import ConfigError, unknown
from gen_models.library.questions import in_random_order, statistics_of
from gen_models.library.rows import levels_of, rows_of
from gen_models_sklearn.estimator import GenerativeEstimator


class ScoringEstimator(GenerativeEstimator):
    """A GenerativeEstimator that scores rows with its model.

    anomaly_score  name of the score; None: the first of nll, neg_elbo, reconstruction, critic that the model offers

    After `fit` also: anomaly_score_, the name of the score; states_, {score: {name: array}}, what this score, and those
    that it needs, keep of the training rows.
    """

    anomaly_score: str | None

    def _require(self, model: nn.Module) -> None:
        if self.anomaly_score is not None and self.anomaly_score not in (names := offered(model)):
            raise ConfigError(unknown("score", str(self.anomaly_score), names))

    def _fit_score(self, rows: np.ndarray) -> None:
        """Fit the score of the trained model to training rows, and keep its name and states."""
        model = self._model()
        default = FittedScores(model, {}, _setting(model)).default
        name = default if self.anomaly_score is None else self.anomaly_score
        reference = in_random_order(rows_of(model, rows))
        fitted = fit_scores(model, reference, _setting(model), name=name)
        if name not in fitted.names:
            usable = fit_scores(model, reference, _setting(model)).names
            raise ConfigError(
                f"anomaly_score = {name!r} cannot be used for such rows: choose from {', '.join(sorted(usable))}"
            )
        self.anomaly_score_ = name
        self.states_ = {
            score: {key: value.cpu().numpy() for key, value in state.items()} for score, state in fitted.states.items()
        }

    def _anomaly(self, X: np.ndarray) -> np.ndarray:
        """Return a score for each row, (rows,), in the model's dtype; larger is more anomalous."""
        model = self._model()
        states = {
            score: {key: torch.tensor(value) for key, value in state.items()} for score, state in self.states_.items()
        }
        return FittedScores(model, states, _setting(model))(self.anomaly_score_, rows_of(model, X)).cpu().numpy()


def _setting(model: nn.Module) -> Setting:
    return Setting(levels_of(model), statistics_of(model))
