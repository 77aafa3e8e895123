"""The default detector of anomalies in tables, whole and with some of its parts left out.

Its score is a weighted mean of measures, which gen_models.analysis.table_anomalies explains. No setting depends on a
table or a label.

default                all measures
default without X      all measures but X
without_neighbours     only the measures that keep no training rows to compare new rows with
"""

import numpy as np
import torch

from gen_models.analysis.table_anomalies import MEASURES, TableAnomalies
from gen_models.noise import Noise
from pipelines.adbench.detectors import Fit, Score

THREADS = 1  # the same on every machine
KEEPS_ROWS = ("metric", "round", "local")  # measures with a kernel at each training row


def of(measures: dict[str, float]) -> Fit:
    """Return the detector whose score is the weighted mean of some measures. measures: {name: weight}"""

    def fit(train: np.ndarray, seed: int) -> Score:
        torch.set_num_threads(THREADS)
        torch.manual_seed(seed)
        model = TableAnomalies(train.shape[1], weights=measures)
        model.fit(torch.from_numpy(train), Noise(seed))
        return lambda x: model.score(torch.from_numpy(x)).double().numpy()

    return fit


def without(*names: str) -> dict[str, float]:
    """Return {name: weight} of all measures whose names are not in `names`."""
    return {name: weight for name, weight in MEASURES.items() if name not in names}


DEFAULTS: dict[str, Fit] = {
    "default": of(MEASURES),
    **{f"default without {name}": of(without(name)) for name in MEASURES},
    "without_neighbours": of(without(*KEEPS_ROWS)),
}
