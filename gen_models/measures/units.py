"""The scales of reported numbers, chosen so that a number means the same for every model."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.layers.levels import Levels, grey_levels

Number = TypeVar("Number", float, Tensor)


def bits_per_dim(log_prob_nats: Number, dims: int) -> Number:
    """Return -log p(x) / (D ln 2), the bits that a dimension of a row costs; D is `dims`.

    log p is in the data's units, in which the q grey levels lie one unit apart. A cell of this grid has volume 1, so
    the density bounds the probability of the cell and nothing has to be added. Papers use LL, the log density of x
    scaled to [0, 1]. Their form gives the same number, because LL = log p + D ln q:

        bpd = log2 q - LL / (D ln 2)
    """
    return -log_prob_nats / (dims * math.log(2))


def unit_scale(
    x: Float[Tensor, "batch *event"], *, levels: Levels, statistics: Mapping[str, Any] | None = None
) -> Float[Tensor, "batch *event"]:
    """Return x on the scale where errors and distances are measured.

    Data on q grey levels become x/(q - 1), in [0, 1] from black to white. Continuous data and tables become
    (x - mean)/std, so that the unit is a standard deviation; without statistics they are returned as they are.

    levels      what the numbers of a row are (layers/levels.py)
    statistics  {"mean", "std"} of the training rows: numbers, or lists of the shape of a row
    """
    if (q := grey_levels(levels)) is not None:
        return x / (q - 1)
    if statistics is None:
        return x
    mean = torch.as_tensor(statistics["mean"], dtype=x.dtype, device=x.device)
    std = torch.as_tensor(statistics["std"], dtype=x.dtype, device=x.device)
    return (x - mean) / torch.where(std > 0, std, 1.0)
