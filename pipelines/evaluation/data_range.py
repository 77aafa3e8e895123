"""The range of the data, to which every answer of a model or baseline is clipped before its error is measured.

A number outside the range is known to be wrong without the true row, so anybody could clip it. Therefore it does not
count as an error of the method.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.evaluation.prepared_rows import RowsOf


@dataclass(frozen=True)
class Range:
    """The lowest and highest value of each number, not scaled: 0 and q - 1 on q levels, else those of training rows."""

    low: Float[Tensor, "*event"]
    high: Float[Tensor, "*event"]

    def clip(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        return torch.minimum(torch.maximum(x, self.low), self.high)


def range_of(rows: RowsOf) -> Range:
    """Return the range of a data set."""
    if rows.data.levels is not None:
        return Range(torch.zeros(()), torch.tensor(rows.data.levels - 1.0))
    train = rows.data.rows("train")
    return Range(train.amin(dim=0), train.amax(dim=0))


def squared_errors(
    rows: RowsOf, limits: Range, found: Float[Tensor, "rows *event"], truth: Float[Tensor, "rows *event"]
) -> Float[Tensor, " rows"]:
    """Return, for each row, the mean over its numbers of (found - truth)^2, on the unit scale, as float64.

    `found` is clipped to the range first. Both arguments are rows that are not scaled.
    """
    difference = rows.units(limits.clip(found)) - rows.units(truth)
    return difference.flatten(1).double().square().mean(dim=1)
