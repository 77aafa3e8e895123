"""The scales that numbers are quoted on, so that a number keeps its meaning from one model to the next."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

Number = TypeVar("Number", float, Tensor)


def bits_per_dim(log_prob_nats: Number, dims: int) -> Number:
    """-log p(x) / (D ln 2): the bits that a dimension of the datum costs.

    log p is of the data as stored, on levels that lie one unit apart: a cell of the grid has volume 1, so the
    density bounds the cell's probability and nothing is added. The form that papers use, with LL the log density
    of x scaled to [0, 1] by q levels, is the same number, as LL = log p + D ln q:

        bpd = log2 q - LL / (D ln 2)
    """
    return -log_prob_nats / (dims * math.log(2))


def unit_scale(
    x: Float[Tensor, "batch *event"], *, levels: int | None, statistics: Mapping[str, Any] | None = None
) -> Float[Tensor, "batch *event"]:
    """x on the scale where errors and distances are measured.

    On q levels: x/(q - 1), in [0, 1], black to white. Continuous: (x - mean)/std by the statistics of the training
    rows (numbers, or lists of the event's shape), so the unit is a standard deviation; without statistics x itself.
    """
    if levels is not None:
        return x / (levels - 1)
    if statistics is None:
        return x
    mean = torch.as_tensor(statistics["mean"], dtype=x.dtype, device=x.device)
    std = torch.as_tensor(statistics["std"], dtype=x.dtype, device=x.device)
    return (x - mean) / torch.where(std > 0, std, 1.0)
