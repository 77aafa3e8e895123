"""The diagonal scaling z = exp(s) * x, with a factor for each coordinate (Dinh, Krueger and Bengio, 2015, section 3.3).

NICE ends with it: the couplings of NICE preserve volume, and S = diag(exp s) says which directions matter.
log |det| = sum s.
"""

import torch
from torch import nn

from gen_models.bijections.bijection import Bijection

MIN_STD = 1e-3  # floor of a coordinate's std at the start: if all its grey levels are equal, the std of u/256 is 1.1e-3


class Diagonal(Bijection):
    """The scaling of vectors (batch, D). It is built as the identity; `start` gives coordinates unit variance."""

    def __init__(self, dimensions: int):
        super().__init__()
        self.s = nn.Parameter(torch.zeros(dimensions))

    def forward(self, x):
        return x * self.s.exp(), self.s.sum().expand(len(x))

    def inverse(self, y):
        return y * (-self.s).exp(), -self.s.sum().expand(len(y))

    def start(self, x):
        """Set s = -log std(x) and return z.

        Without this start, constant pixels of dequantised images cost thousands of steps.
        """
        with torch.no_grad():
            self.s.copy_(-x.std(dim=0, correction=0).clamp_min(MIN_STD).log())
        return self(x)[0]
