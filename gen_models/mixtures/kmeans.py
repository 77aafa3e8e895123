"""The seeding of k-means++ (Arthur and Vassilvitskii, 2007, section 2.2), in the greedy form of their section 7."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.noise import Noise

TRIES = 5


def kmeans_plus_plus(
    y: Float[Tensor, "batch dim"], k: int, noise: Noise, *, tries: int = TRIES
) -> Float[Tensor, "k dim"]:
    """Return k rows of y as the start of k-means or EM.

    The first row is drawn uniformly. For each next row, 2 + floor(log k) candidates are drawn, each in proportion to
    the squared distance to the nearest row chosen so far, and the candidate that leaves the smallest sum of squared
    distances is chosen. All of this is repeated `tries` times, and the k rows with the smallest sum are returned.

    Both the candidates and the tries are needed, because a cluster that gets no row costs its mixture a component for
    good. With one candidate and one try this happened to one mixture of eight Gaussians in three, with several
    candidates and one try to one in sixteen. Rows may repeat if y has fewer than k different ones.
    """
    whole = replace(noise, rank=0, world=1, is_shared=False)  # every worker must start at the same rows
    draws = whole.uniform("kmeans++", (tries, k, 2 + int(math.log(k))), like=y)
    found = [_once(y, u) for u in draws]
    return min(found, key=lambda one: one[1])[0]


def _once(y: Float[Tensor, "batch dim"], u: Float[Tensor, "k candidates"]) -> tuple[Float[Tensor, "k dim"], float]:
    """Return the rows that these uniform numbers select, and the sum of squared distances that they leave."""
    chosen = [y[int(u[0, 0] * len(y))]]
    squares = _squares(y, chosen[0])
    for uniform in u[1:]:
        cumulated = squares.cumsum(dim=0)
        rows = torch.searchsorted(cumulated, uniform * cumulated[-1], right=True).clamp(max=len(y) - 1)
        left = torch.stack([torch.minimum(squares, _squares(y, y[row])) for row in rows])
        best = int(left.sum(dim=1).argmin())
        chosen.append(y[rows[best]])
        squares = left[best]
    return torch.stack(chosen), squares.sum().item()


def _squares(y: Float[Tensor, "batch dim"], centre: Float[Tensor, " dim"]) -> Float[Tensor, " batch"]:
    return (y - centre).square().sum(dim=1)
