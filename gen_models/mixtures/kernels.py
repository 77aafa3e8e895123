"""Parts of mixtures with a kernel at each training row: squared distances in blocks of bounded memory, and loading."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

ROWS = 500  # rows whose distances to all centres are held at once
FAR = 1e18  # the squared distance of a row to itself where it is left out


def squared_distances(x: Float[Tensor, "batch dim"], centres: Float[Tensor, "rows dim"]) -> Float[Tensor, "batch rows"]:
    """Return |x_i - c_k|^2 for each row x_i and each centre c_k."""
    squares = x.square().sum(dim=1)[:, None] + centres.square().sum(dim=1)
    return squares.addmm_(x, centres.T, alpha=-2).clamp_min_(0)


def left_out_distances(centres: Float[Tensor, "rows dim"], rows: Int[Tensor, " batch"]) -> Float[Tensor, "batch rows"]:
    """Return the squared distances of some centres to all centres, with FAR as the distance of a centre to itself.

    rows  the indices of these centres
    """
    return squared_distances(centres[rows], centres).scatter_(1, rows[:, None], FAR)


def by_blocks(
    function: Callable[[Float[Tensor, "batch rows"]], Float[Tensor, " batch"]],
    distances: Callable[[Tensor], Float[Tensor, "batch rows"]],
    rows: Tensor,
) -> Float[Tensor, " all"]:
    """Return function(distances(rows)), computed for ROWS rows at a time; `rows` are rows or their indices."""
    return torch.cat([function(distances(block)) for block in rows.split(ROWS)])


class StoresRows(nn.Module):
    """A module with buffers that `fit` fills with one entry for each training row.

    BY_ROW names them. When a state is loaded, they take its number of rows.
    """

    BY_ROW: tuple[str, ...] = ()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        for name in self.BY_ROW:
            stored, own = state_dict.get(f"{prefix}{name}"), getattr(self, name)
            if isinstance(stored, Tensor) and stored.shape[1:] == own.shape[1:]:
                setattr(self, name, own.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
