"""Keeps some rows of a file that is read in blocks: those with the smallest values of a key."""

import numpy as np


class KeptRows:
    """At most `most` rows, with their places in the file, in the order of their keys.

    places: (n,) numbers of rows; x: (n, *event), or None before any row
    """

    def __init__(self, most: int):
        self._most = most
        self._keys = np.zeros(0)
        self.places = np.zeros(0, dtype=np.int64)
        self.x: np.ndarray | None = None

    def add(self, keys: np.ndarray, places: np.ndarray, x: np.ndarray) -> None:
        """Consider rows. keys: (rows,), NaN for a row that is not kept; places: (rows,); x: (rows, *event)"""
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
