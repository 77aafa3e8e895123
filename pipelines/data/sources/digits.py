"""Handwritten digits that come with scikit-learn: 1797 scans of 8x8 pixels on 17 grey levels.

They are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998, UCI). Each pixel
counts the inked pixels in a 4x4 block of a 32x32 scan, so its values are 0 .. 16. Nothing is downloaded.
"""

import numpy as np

from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays


def digits(noise: Noise) -> Arrays:
    """Return x (1797, 1, 8, 8) uint8 in 0 .. 16, and y, the digit. `noise` is not used: nothing is drawn."""
    from sklearn.datasets import load_digits  # takes a second, and only this source needs it

    bundle = load_digits()
    x = bundle.images[:, None].astype(np.uint8)
    return Arrays(x, bundle.target.astype(np.int64), tuple(str(digit) for digit in range(10)))
