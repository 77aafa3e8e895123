"""The seeding of k-means++ (Arthur and Vassilvitskii, 2007, section 2.2)."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.noise import Noise


def kmeans_plus_plus(y: Float[Tensor, "batch dim"], k: int, noise: Noise) -> Float[Tensor, "k dim"]:
    """k rows of y: the first uniform, each next with probability in proportion to its squared distance
    from the nearest chosen so far. Rows may repeat where y has fewer than k different ones.
    """
    whole = replace(noise, rank=0, world=1, is_shared=False)  # every worker must start at the same rows
    u = whole.uniform("kmeans++", (k,), like=y)
    chosen = [y[int(u[0] * len(y))]]
    squares = torch.full_like(y[:, 0], torch.inf)
    for uniform in u[1:]:
        squares = torch.minimum(squares, (y - chosen[-1]).square().sum(dim=1))
        cumulated = squares.cumsum(dim=0)
        row = torch.searchsorted(cumulated, uniform * cumulated[-1], right=True).clamp(max=len(y) - 1)
        chosen.append(y[row])
    return torch.stack(chosen)
