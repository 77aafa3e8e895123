"""The outlier detector of tables of this project's benchmark of tables (docs/results.md)."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from gen_models.analysis.table_anomalies import LEAST_ROWS, TableAnomalies
from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_whole
from gen_models.noise import Noise
from gen_models_sklearn.calibrated import CalibratedDetector
from gen_models_sklearn.estimator import plain, validated

KEPT_MODELS = 8  # built models that are kept for the next call


class TableOutlierDetector(CalibratedDetector, BaseEstimator):
    """An outlier detector of tables: a mean of three densities of kernels and a network that tells corrupted rows.

    gen_models.analysis.table_anomalies explains the four. No setting depends on the table. X is (rows, columns) of
    numbers; columns may have any unit. See CalibratedDetector for `fit`, polarity, p-values and threshold.

    calibration  the fraction of the rows of X on which the detector is not trained: they set threshold and p-values
    fpr          the false-positive rate of `predict`: the fraction of normal rows that it may call outliers
    steps        minibatches that each of ten networks trains on; None: 350
    kernels      the most training rows that are kept; if there are more, random ones are
    seed         of the calibration rows, the kernels and all random numbers in training

    After `fit`: weights_, the bytes of the detector. They hold the kept training rows, standardised: whoever has the
    detector has these rows.
    """

    LEAST_TRAINING_ROWS = LEAST_ROWS

    def __init__(self, *, calibration=0.2, fpr=0.1, steps=None, kernels=10_000, seed=0):
        self.calibration = calibration
        self.fpr = fpr
        self.steps = steps
        self.kernels = kernels
        self.seed = seed

    def _rows(self, X: Any, *, reset: bool = False, least: int = 1) -> np.ndarray:
        """Return X as an array of its own, in C order: torch takes no negative strides, and warns of read-only rows."""
        return validated(self, X, reset=reset, dtype=np.float64, order="C", copy=True, ensure_min_samples=least)

    def _train(self, rows: np.ndarray, order: np.ndarray) -> None:
        require_whole("seed", seed := plain(self.seed), least=0)
        require_whole("kernels", kernels := plain(self.kernels), least=LEAST_ROWS)
        kept = rows[np.sort(order[:kernels])]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = TableAnomalies(rows.shape[1], steps=plain(self.steps))
            model.fit(torch.from_numpy(kept), Noise(seed))
        self.weights_ = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})

    def _scores(self, X: np.ndarray) -> np.ndarray:
        return -_built(self.n_features_in_, self.weights_).score(torch.from_numpy(X)).numpy()

    def measures(self, X: Any) -> dict[str, np.ndarray]:
        """Return {measure: its value for each row}, in standard deviations over training rows; larger is odder."""
        check_is_fitted(self)
        found = _built(self.n_features_in_, self.weights_).measures(torch.from_numpy(self._rows(X)))
        return {name: values.numpy() for name, values in found.items()}


@lru_cache(maxsize=KEPT_MODELS)
def _built(columns: int, weights: bytes) -> TableAnomalies:
    """Return the detector in float64, in which a row's score depends on the rows beside it in its last bits only."""
    with torch.random.fork_rng(devices=[]):
        model = TableAnomalies(columns)
    try:
        model.load_state_dict(load(weights))
    except RuntimeError:
        raise ConfigError("weights_ are of another version, or of other columns: fit the detector again") from None
    return model.eval().requires_grad_(False).double()
