"""The range of the data, to which rows from a model or baseline are clipped before their error is measured.

A decoded or denoised number outside the range is known to be wrong even without the true row, so anybody could clip it.
Therefore the part of an error that clipping removes does not count against a method.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.evaluation.prepared_rows import RowsOf


@dataclass(frozen=True)
class Range:
    """The lowest and highest value that each number of a row may take, in the data's units.

    They are 0 and q - 1 for data on q grey levels, else the lowest and highest value of that number in training rows.
    """

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
    """Return, for each row, the mean over its numbers of (found - truth)^2, as float64.

    `found` and `truth` are in the data's units. `found` is first clipped to `limits`; then both are brought to the unit
    scale (x/(q - 1) for q grey levels, else x standardised by the training rows), on which the error is measured.
    """
    difference = rows.units(limits.clip(found)) - rows.units(truth)
    return difference.flatten(1).double().square().mean(dim=1)
