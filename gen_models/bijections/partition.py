"""Which coordinates a coupling keeps and which it moves.

A flow whose couplings all keep the same half leaves that half unchanged, so neighbours in a composition
keep opposite halves. Coordinates that fall into one half never see each other, so each pair of couplings
has its own halves: even and odd coordinates first, then halves of fixed permutations.
"""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from gen_models.errors import ConfigError
from gen_models.noise import Noise


class Partition(NamedTuple):
    """The coordinates that stay, and those that are transformed given them."""

    kept: Int[Tensor, " kept"]
    moved: Int[Tensor, " moved"]


def partitions(dimensions: int, count: int) -> list[Partition]:
    """`count` partitions of 0 .. dimensions - 1; 2j and 2j + 1 are opposite. A function of its arguments alone."""
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
