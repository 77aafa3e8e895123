"""The seeding of k-means++ (Arthur and Vassilvitskii, 2007, section 2.2), greedy as their section 7 has it."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.noise import Noise


def kmeans_plus_plus(y: Float[Tensor, "batch dim"], k: int, noise: Noise) -> Float[Tensor, "k dim"]:
    """k rows of y: the first uniform, each next drawn in proportion to its squared distance from the nearest so far.

    Of 2 + floor(log k) such draws the one is taken that leaves the least sum of squared distances: a single draw falls
    into a cluster that has a row already often enough that one mixture of eight in three lost a component to it. Rows
    may repeat where y has fewer than k different ones.
    """
    whole = replace(noise, rank=0, world=1, is_shared=False)  # every worker must start at the same rows
    candidates = 2 + int(math.log(k))
    u = whole.uniform("kmeans++", (k, candidates), like=y)
    chosen = [y[int(u[0, 0] * len(y))]]
    squares = _squares(y, chosen[0])
    for uniform in u[1:]:
        cumulated = squares.cumsum(dim=0)
        rows = torch.searchsorted(cumulated, uniform * cumulated[-1], right=True).clamp(max=len(y) - 1)
        left = torch.stack([torch.minimum(squares, _squares(y, y[row])) for row in rows])
        best = int(left.sum(dim=1).argmin())
        chosen.append(y[rows[best]])
        squares = left[best]
    return torch.stack(chosen)


def _squares(y: Float[Tensor, "batch dim"], centre: Float[Tensor, " dim"]) -> Float[Tensor, " batch"]:
    return (y - centre).square().sum(dim=1)
