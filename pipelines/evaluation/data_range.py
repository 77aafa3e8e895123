"""The range that data can have: what every answer is clipped to before its error is measured.

An answer beyond it is known to be wrong without a look at the truth, so that no method is charged for it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.evaluation.trained_run import Trained


@dataclass(frozen=True)
class Range:
    """Of each number, as stored: 0 and q - 1 on q levels, else the least and the most among training rows."""

    low: Float[Tensor, "*event"]
    high: Float[Tensor, "*event"]

    def clip(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        return torch.minimum(torch.maximum(x, self.low), self.high)


def range_of(trained: Trained) -> Range:
    """Of the data of a run."""
    if trained.data.levels is not None:
        return Range(torch.zeros(()), torch.tensor(trained.data.levels - 1.0))
    train = trained.data.rows("train")
    return Range(train.amin(dim=0), train.amax(dim=0))


def squared_errors(
    trained: Trained, limits: Range, found: Float[Tensor, "rows *event"], truth: Float[Tensor, "rows *event"]
) -> Float[Tensor, " rows"]:
    """Of each row the mean over its numbers of (found - truth)^2, found clipped, both on the unit scale; float64."""
    difference = trained.units(limits.clip(found)) - trained.units(truth)
    return difference.flatten(1).double().square().mean(dim=1)
