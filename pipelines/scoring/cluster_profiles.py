"""Says how the rows of each cluster differ from the training rows, column by column (column_drift.py)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gen_models.anomalies.calibration import Calibration
from pipelines.runtime.words import counted
from pipelines.scoring.column_drift import ColumnDrift, column_drift

LEVEL = 0.01  # the probability that a cluster without any difference gets a column
MOST_CLUSTERS, MOST_COLUMNS = 10, 3  # that are told


class ClusterProfiles:
    """Counts the rows of each cluster, and for a table what they hold in each column, block by block.

    calibration: what the model keeps of its training rows, or None; facts: from registry.serving.facts_of
    """

    def __init__(self, calibration: Calibration | None, facts: Mapping[str, Any]):
        self._calibration = calibration
        self._facts = facts
        self._rows: dict[int, int] = {}
        self._columns: dict[int, ColumnDrift] = {}

    def add(self, x: np.ndarray, clusters: np.ndarray) -> None:
        """Count rows (rows, numbers), and their clusters (rows,), NaN for a row without one."""
        for k in np.unique(clusters[~np.isnan(clusters)]).astype(int).tolist():
            part = x[clusters == k]
            self._rows[k] = self._rows.get(k, 0) + len(part)
            if k not in self._columns and (columns := column_drift(self._calibration, self._facts)) is not None:
                self._columns[k] = columns
            if k in self._columns:
                self._columns[k].add(part)

    def lines(self) -> list[str]:
        """Return a line for each of the largest clusters: its rows, and the columns that differ most."""
        total, found = sum(self._rows.values()), []
        largest = sorted(self._rows, key=lambda k: (-self._rows[k], k))
        for k in largest[:MOST_CLUSTERS]:
            moved = self._columns[k].moved(LEVEL)[:MOST_COLUMNS] if k in self._columns else []
            told = "; ".join(map(str, moved))
            found.append(
                f"cluster {k}: {counted(self._rows[k], 'row')} ({self._rows[k] / total:.0%})"
                + (f"; {told}" if told else "")
            )
        if len(largest) > MOST_CLUSTERS:
            found.append(f"{len(largest) - MOST_CLUSTERS} smaller clusters")
        return found
