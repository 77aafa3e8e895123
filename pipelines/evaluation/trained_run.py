"""A run's trained model beside the data that it was trained on: what every stage after `train` begins with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.checkpoint import load_model
from gen_models.measures.units import unit_scale
from pipelines.config import Run
from pipelines.data.store import Dataset, open_data
from pipelines.runtime import paths

THREADS = 2  # sums depend on the number of threads in the last digits: the same on every machine


@dataclass(frozen=True)
class Trained:
    """run: a line under `runs:`; model: in evaluation mode, offering what `isinstance` says; data: verified."""

    run: Run
    model: Any
    data: Dataset

    @property
    def anomaly(self) -> int | None:
        """The class that was held out, as an index into the manifest's classes; or None."""
        return self.data.manifest["anomaly"]

    @property
    def anomaly_name(self) -> str:
        """What that class is called."""
        return "" if self.anomaly is None else self.data.manifest["classes"][self.anomaly]

    def is_anomaly(self, split: str) -> np.ndarray:
        """(rows,) true where the row is of the class that was held out."""
        y = np.asarray(self.data.y(split))
        return np.zeros(len(y), dtype=bool) if self.anomaly is None else y == self.anomaly

    def normal(self, split: str) -> Float[Tensor, "rows *event"]:
        """The rows of a split, as stored, without the class that was held out."""
        return self.data.rows(split)[torch.from_numpy(~self.is_anomaly(split))]

    def units(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *event"]:
        """Rows on the scale where errors and distances are measured."""
        return unit_scale(x, levels=self.data.levels, statistics=self.data.manifest["statistics"])


def open_trained(run: Run) -> Trained:
    """The checkpoint of out/train/KEY and the data of the run, both verified."""
    torch.set_num_threads(THREADS)
    return Trained(run, load_model(paths.out("train", run.key, "checkpoint")), open_data(run.data))
