"""The rows of a prepared data set as evaluation uses them: without the classes held out as anomalies, and scaled.

Errors and distances are measured on the unit scale: x/(q - 1) for q grey levels, else x standardised by the training
rows. A split is "train", "validation", "calibration" or "test"; a manifest describes a prepared data set.
"""

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
    """A prepared data set, `data`, as evaluation uses it: the base class of PreparedRows and, with a model, Trained."""

    data: Dataset

    @property
    def anomaly(self) -> list[int]:
        """The classes that are held out as anomalies, as indices into the manifest's list `classes`; [] if none is."""
        return self.data.manifest["anomaly"] or []

    @property
    def anomaly_name(self) -> str:
        """The classes that are held out, in words for a heading, such as "bent, scratch"; "" if none is."""
        return anomalies.held_out(self.data.manifest)

    @property
    def unmeasured(self) -> str:
        """A sentence that says why no anomaly score can be measured although classes are held out; else ""."""
        return anomalies.unmeasured(self.data.manifest)

    @property
    def classes(self) -> int:
        """The number of classes among the training rows."""
        return len(np.unique(np.asarray(self.data.y("train"))))

    def is_anomaly(self, split: str) -> np.ndarray:
        """Return booleans (rows,): whether each row of a split belongs to a class that is held out."""
        return np.isin(np.asarray(self.data.y(split)), self.anomaly)

    def kinds(self) -> dict[str, np.ndarray]:
        """Return {class held out: booleans (test rows,)}: which test rows belong to the class.

        A class with too few test rows is left out. Returns {} if only one class is held out, as its rows are then all
        the anomalies.
        """
        y, classes = np.asarray(self.data.y("test")), self.data.manifest["classes"]
        return {name: y == classes.index(name) for name in anomalies.kinds(self.data.manifest)}

    def normal(self, split: str) -> Float[Tensor, "rows *event"]:
        """Return the rows of a split that belong to no class held out, in the data's units."""
        return self.data.rows(split)[torch.from_numpy(~self.is_anomaly(split))]

    def labels(self, split: str) -> np.ndarray:
        """Return the class (an index, (rows,)) of each row that `normal` returns for this split."""
        return np.asarray(self.data.y(split))[~self.is_anomaly(split)]

    def units(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *event"]:
        """Convert rows x from the data's units to the unit scale (see the module)."""
        return unit_scale(x, levels=self.data.levels, statistics=self.data.manifest["statistics"])


@dataclass(frozen=True)
class PreparedRows(RowsOf):
    """A prepared data set without a model, for the baselines."""

    data: Dataset


def fix_threads() -> None:
    """Let torch use THREADS threads, on every machine."""
    torch.set_num_threads(THREADS)
