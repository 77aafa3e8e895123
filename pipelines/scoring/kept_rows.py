"""Keeps some rows of a file that is read in blocks: those with the smallest keys (a key is a number for each row)."""

import numpy as np


class KeptRows:
    """At most `most` rows of a file, those with the smallest keys, in the order of their keys.

    places: the index in the file of each kept row, (n,); x: the kept rows (n, *event), or None before any is kept
    """

    def __init__(self, most: int):
        self._most = most
        self._keys = np.zeros(0)
        self.places = np.zeros(0, dtype=np.int64)
        self.x: np.ndarray | None = None

    def add(self, keys: np.ndarray, places: np.ndarray, x: np.ndarray) -> None:
        """Take in the next rows of the file, and keep those whose keys are small enough.

        keys: (rows,), NaN for a row that must not be kept; places: indices of the rows in the file, (rows,)
        x: the rows, (rows, *event)
        """
        if len(self.places) == self._most:
            is_near = keys < (self._keys[-1] if self._most else -np.inf)
        else:
            is_near = ~np.isnan(keys)
        if not is_near.any():
            return
        all_x = x[is_near] if self.x is None else np.concatenate([self.x, x[is_near]])
        all_keys = np.concatenate([self._keys, keys[is_near]])
        all_places = np.concatenate([self.places, places[is_near]])
        order = np.argsort(all_keys, kind="stable")[: self._most]
        self._keys, self.places, self.x = all_keys[order], all_places[order], all_x[order]
