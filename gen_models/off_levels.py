"""Says which rows hold a number that is no whole grey level, and what is the likely cause."""

import numpy as np
from jaxtyping import Float


def off_levels(x: Float[np.ndarray, "rows numbers"], levels: int) -> dict[int, str]:
    """Return {index of a row: why it is no row of whole numbers 0 .. levels - 1}, for each such row."""
    with np.errstate(invalid="ignore"):
        off = ~((x >= 0) & (x <= levels - 1) & (x == np.rint(x)))
    found = {}
    for row in np.flatnonzero(off.any(axis=1)).tolist():
        value = x[row, int(off[row].argmax())]
        found[row] = f"{value:g} is not one of the levels 0 .. {levels - 1}{_likely_cause(x[row], levels)}"
    return found


def _likely_cause(row: np.ndarray, levels: int) -> str:
    if row.min() >= 0 and row.max() <= 1:
        return f": pixels between 0 and 1? multiply them by {levels - 1} and round"
    if row.min() >= -1 and row.max() <= 1:
        return f": pixels between -1 and 1? give (x + 1) * {(levels - 1) / 2:g}, rounded"
    if row.max() > levels - 1 and row.max() <= 255:
        return f": pixels of 0 .. 255? divide them by {255 / (levels - 1):g} and round"
    return "; give whole numbers as at the training"
