"""The rows of a prepared data set as evaluation uses them: without the anomalous classes, and on the unit scale."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.measures.units import unit_scale
from pipelines.data import anomalies
from pipelines.data.store import Dataset

THREADS = 1  # the same on every machine, because the last digits of sums depend on the number of threads


class RowsOf:
    """The questions of evaluation that need no model; `data` is the prepared data set."""

    data: Dataset

    @property
    def anomaly(self) -> list[int]:
        """The classes that are held out, as indices into the manifest's classes; [] if there are none."""
        return self.data.manifest["anomaly"] or []

    @property
    def anomaly_name(self) -> str:
        """The classes that are held out, in words, or ""."""
        return anomalies.held_out(self.data.manifest)

    @property
    def unmeasured(self) -> str:
        """Why no anomaly score can be measured although classes are held out, or ""."""
        return anomalies.unmeasured(self.data.manifest)

    @property
    def classes(self) -> int:
        """The number of classes among the training rows."""
        return len(np.unique(np.asarray(self.data.y("train"))))

    def is_anomaly(self, split: str) -> np.ndarray:
        """Return (rows,) booleans: whether a row is of a class that is held out."""
        return np.isin(np.asarray(self.data.y(split)), self.anomaly)

    def kinds(self) -> dict[str, np.ndarray]:
        """Return {name: (test rows,) booleans} of the kinds of anomaly that are measured apart; {} if there is one."""
        y, classes = np.asarray(self.data.y("test")), self.data.manifest["classes"]
        return {name: y == classes.index(name) for name in anomalies.kinds(self.data.manifest)}

    def normal(self, split: str) -> Float[Tensor, "rows *event"]:
        """Return the rows of a split, not scaled, without those of the classes held out."""
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
