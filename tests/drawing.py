"""A sampler that repeats given rows, for tests of what is asked of samples."""

import torch
from torch import Tensor

from gen_models.noise import Noise


def drawn_from(rows: Tensor, n: int, noise: Noise) -> Tensor:
    """Return n of the rows, each drawn by the noise of its own row."""
    return rows[(noise.uniform("rows", (n,), like=torch.zeros(())) * len(rows)).long()]
