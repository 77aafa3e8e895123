"""The partition of a coupling: which coordinates it keeps and which it moves.

If all couplings of a flow kept the same half, that half would never change, so neighbouring couplings keep opposite
halves. If all pairs of couplings used the same two halves, the coordinates of one half would never interact, so each
pair has its own halves: first even and odd coordinates, then halves of fixed permutations.
"""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from gen_models.errors import ConfigError
from gen_models.noise import Noise


class Partition(NamedTuple):
    """The indices of the coordinates that a coupling keeps, and of those that it moves, given the kept ones."""

    kept: Int[Tensor, " kept"]
    moved: Int[Tensor, " moved"]


def partitions(dimensions: int, count: int) -> list[Partition]:
    """Return `count` partitions of the coordinates 0 .. dimensions - 1, for successive couplings.

    Partitions 2j and 2j + 1 use the same halves: each keeps what the other moves. No partition keeps the same half as
    the one before it. The result depends on the arguments only. Raises ConfigError for fewer than 2 dimensions.
    """
    if dimensions < 2:
        raise ConfigError(f"a coupling of {dimensions} dimension has nothing to keep: give data of at least 2")
    found: list[Partition] = []
    for j in range((count + 1) // 2):
        one, other = _halves(dimensions, j)
        if found and set(found[-1].kept.tolist()) == set(one.tolist()):
            one, other = other, one
        found += [Partition(one, other), Partition(other, one)]
    return found[:count]


def _halves(dimensions: int, j: int) -> tuple[Tensor, Tensor]:
    order = torch.arange(dimensions) if j == 0 else Noise(seed=j).permutation("partition", dimensions)
    return order[0::2].sort().values, order[1::2].sort().values
