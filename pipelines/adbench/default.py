"""The default detector of tables, and it without each of its measures; no setting depends on a table or a label.

default                the weighted mean of all measures of gen_models.analysis.table_anomalies
default without X      the same without measure X
without_neighbours     only the measures that keep no training rows to compare with
"""

import numpy as np
import torch

from gen_models.analysis.table_anomalies import MEASURES, TableAnomalies
from gen_models.noise import Noise
from pipelines.adbench.detectors import Fit, Score

THREADS = 1  # the same on every machine
KEEPS_ROWS = ("metric", "round", "local")  # measures with a kernel at each training row


def of(measures: dict[str, float]) -> Fit:
    """Return the detector of some measures, {name: weight}."""

    def fit(train: np.ndarray, seed: int) -> Score:
        torch.set_num_threads(THREADS)
        torch.manual_seed(seed)
        model = TableAnomalies(train.shape[1], weights=measures)
        model.fit(torch.from_numpy(train), Noise(seed))
        return lambda x: model.score(torch.from_numpy(x)).double().numpy()

    return fit


def without(*names: str) -> dict[str, float]:
    """Return the weights of all measures but these."""
    return {name: weight for name, weight in MEASURES.items() if name not in names}


DEFAULTS: dict[str, Fit] = {
    "default": of(MEASURES),
    **{f"default without {name}": of(without(name)) for name in MEASURES},
    "without_neighbours": of(without(*KEEPS_ROWS)),
}
