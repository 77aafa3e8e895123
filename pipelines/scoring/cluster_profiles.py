"""Says how the rows of each cluster differ from those of the others, column by column (column_drift.py).

Of images, it keeps the first ones of each cluster, for a picture.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gen_models.anomalies.calibration import Calibration
from pipelines.runtime.words import counted
from pipelines.scoring.column_drift import ColumnDrift, Moved, column_drift

LEVEL = 0.01  # the probability that a cluster without any difference gets a column
MOST_CLUSTERS, MOST_COLUMNS = 10, 3  # that are told
MOST_IMAGES = 12  # of each cluster, that are shown


class ClusterProfiles:
    """Counts the rows of each cluster, and for a table what they hold in each column, block by block.

    calibration: what the model keeps of its training rows, or None; facts: from registry.serving.facts_of
    """

    def __init__(self, calibration: Calibration | None, facts: Mapping[str, Any]):
        self._calibration = calibration
        self._facts = facts
        self._rows: dict[int, int] = {}
        self._columns: dict[int, ColumnDrift] = {}
        self._event = tuple(facts["event_shape"])
        self._images: dict[int, list[np.ndarray]] = {}

    def add(self, x: np.ndarray, clusters: np.ndarray) -> None:
        """Count rows (rows, numbers), and their clusters (rows,), NaN for a row without one."""
        for k in np.unique(clusters[~np.isnan(clusters)]).astype(int).tolist():
            part = x[clusters == k]
            self._rows[k] = self._rows.get(k, 0) + len(part)
            if k not in self._columns and (columns := column_drift(self._calibration, self._facts)) is not None:
                self._columns[k] = columns
            if k in self._columns:
                self._columns[k].add(part)
            if len(self._event) == 3 and len(kept := self._images.setdefault(k, [])) < MOST_IMAGES:
                kept += [row.reshape(self._event).copy() for row in part[: MOST_IMAGES - len(kept)]]

    def lines(self) -> list[str]:
        """Return a line for each of the largest clusters: its rows, and the columns that differ most."""
        total, found, largest = sum(self._rows.values()), [], self._largest()
        for k in largest[:MOST_CLUSTERS]:
            told = "; ".join(map(str, self._moved(k)[:MOST_COLUMNS]))
            found.append(
                f"cluster {k}: {counted(self._rows[k], 'row')} ({self._rows[k] / total:.0%})"
                + (f"; {told}" if told else "")
            )
        if len(largest) > MOST_CLUSTERS:
            found.append(f"{len(largest) - MOST_CLUSTERS} smaller clusters")
        return found

    def _moved(self, k: int) -> list[Moved]:
        others = [columns for other, columns in self._columns.items() if other != k]
        if k not in self._columns or not others:
            return []
        moved = self._columns[k].compared_with(others).moved(LEVEL)
        return [replace(one, compared="in the others") for one in moved]

    def images(self) -> dict[str, np.ndarray]:
        """Return {name of a cluster: its first images, (n, channels, height, width)} of the largest; {} of tables."""
        return {f"cluster {k}": np.stack(self._images[k]) for k in self._largest()[:MOST_CLUSTERS] if k in self._images}

    def _largest(self) -> list[int]:
        return sorted(self._rows, key=lambda k: (-self._rows[k], k))
