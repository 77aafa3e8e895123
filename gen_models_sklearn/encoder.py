"""The scikit-learn transformer: it maps rows to a model's latents, and latents back to rows."""

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

import gen_models
from gen_models.contracts import Decoder
from gen_models_sklearn.estimator import LEAST_ROWS, GenerativeEstimator, offers


class GenerativeEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, GenerativeEstimator):
    """A transformer of rows into a model's latents; it has `inverse_transform` if the model has a decoder.

    model, arguments, levels, steps, batch, seed, device   see GenerativeEstimator
    """

    def __init__(self, model="vae", *, arguments=None, levels=None, steps=None, batch=128, seed=0, device="cpu"):
        super().__init__(model, arguments=arguments, levels=levels, steps=steps, batch=batch, seed=seed, device=device)

    def fit(self, X: Any, y: Any = None) -> "GenerativeEncoder":
        """Train on the rows of X; y is ignored."""
        X = self._rows(X, reset=True, least=LEAST_ROWS)
        self._train_model(X)
        self._n_features_out = gen_models.encode(self._model(), X[:1]).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the latents of the rows of X, (rows, latent)."""
        check_is_fitted(self)
        return gen_models.encode(self._model(), self._rows(X)).astype(np.float64)

    @offers(Decoder)
    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return the rows that the model decodes from latents Z, (rows, latent)."""
        check_is_fitted(self)
        return gen_models.decode(self._model(), check_array(Z)).astype(np.float64)
