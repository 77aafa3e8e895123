"""The rows of a prepared data set as evaluation uses them: without the held-out class, and on the unit scale."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.measures.units import unit_scale
from pipelines.data.store import Dataset

THREADS = 1  # the same on every machine, because the last digits of sums depend on the number of threads


class RowsOf:
    """The questions of evaluation that need no model; `data` is the prepared data set."""

    data: Dataset

    @property
    def anomaly(self) -> int | None:
        """The class that is held out, as an index into the manifest's classes, or None."""
        return self.data.manifest["anomaly"]

    @property
    def anomaly_name(self) -> str:
        """The name of the class that is held out, or ""."""
        return "" if self.anomaly is None else self.data.manifest["classes"][self.anomaly]

    @property
    def classes(self) -> int:
        """The number of classes among the training rows."""
        return len(np.unique(np.asarray(self.data.y("train"))))

    def is_anomaly(self, split: str) -> np.ndarray:
        """Return (rows,) booleans: whether a row is of the held-out class."""
        y = np.asarray(self.data.y(split))
        return np.zeros(len(y), dtype=bool) if self.anomaly is None else y == self.anomaly

    def normal(self, split: str) -> Float[Tensor, "rows *event"]:
        """Return the rows of a split, not scaled, without those of the held-out class."""
        return self.data.rows(split)[torch.from_numpy(~self.is_anomaly(split))]

    def labels(self, split: str) -> np.ndarray:
        """Return the classes (rows,) of the rows that `normal` returns."""
        return np.asarray(self.data.y(split))[~self.is_anomaly(split)]

    def units(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *event"]:
        """Return rows on the unit scale, on which errors and distances are measured."""
        return unit_scale(x, levels=self.data.levels, statistics=self.data.manifest["statistics"])


@dataclass(frozen=True)
class PreparedRows(RowsOf):
    """A prepared data set without a model, which the baselines use."""

    data: Dataset


def fix_threads() -> None:
    """Use the same number of threads on every machine."""
    torch.set_num_threads(THREADS)
