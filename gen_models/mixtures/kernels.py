"""What mixtures with one component at each training row share: squared distances, and sums over them in blocks."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROWS = 500  # rows whose distances to all centres are held at once
FAR = 1e18  # the squared distance of a row to itself where it is left out


def squared_distances(x: Float[Tensor, "batch dim"], centres: Float[Tensor, "rows dim"]) -> Float[Tensor, "batch rows"]:
    """Return |x_i - c_k|^2."""
    squares = x.square().sum(dim=1)[:, None] + centres.square().sum(dim=1)
    return squares.addmm_(x, centres.T, alpha=-2).clamp_min_(0)


def left_out_distances(centres: Float[Tensor, "rows dim"], rows: Int[Tensor, " batch"]) -> Float[Tensor, "batch rows"]:
    """Return the squared distances of these centres to all centres, each infinitely far from itself."""
    return squared_distances(centres[rows], centres).scatter_(1, rows[:, None], FAR)


def by_blocks(
    function: Callable[[Float[Tensor, "batch rows"]], Float[Tensor, " batch"]],
    distances: Callable[[Tensor], Float[Tensor, "batch rows"]],
    rows: Tensor,
) -> Float[Tensor, " all"]:
    """Return function(distances(rows)), for ROWS rows at a time."""
    return torch.cat([function(distances(block)) for block in rows.split(ROWS)])
