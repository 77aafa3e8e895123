"""The default detector of tables, and it without each of its measures; no setting depends on a table or a label."""

import numpy as np
import torch

from gen_models.analysis.table_anomalies import MEASURES, TableAnomalies
from gen_models.noise import Noise
from pipelines.adbench.detectors import Fit, Score

THREADS = 1  # the same on every machine


def of(measures: dict[str, float]) -> Fit:
    """Return the detector of some measures, {name: weight}."""

    def fit(train: np.ndarray, seed: int) -> Score:
        torch.set_num_threads(THREADS)
        torch.manual_seed(seed)
        model = TableAnomalies(train.shape[1], weights=measures)
        model.fit(torch.from_numpy(train), Noise(seed))
        return lambda x: model.score(torch.from_numpy(x)).double().numpy()

    return fit


DEFAULTS: dict[str, Fit] = {"default": of(MEASURES)}
