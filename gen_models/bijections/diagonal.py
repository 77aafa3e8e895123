"""The diagonal scaling z = exp(s) * x, with a factor for each coordinate (Dinh, Krueger and Bengio, 2015, section 3.3).

log |det| = sum s. NICE ends with this scaling: its couplings preserve volume, so only S = diag(exp s) can say which
directions vary much and which hardly.
"""

import torch
from torch import nn

from gen_models.bijections.bijection import Bijection

MIN_STD = 1e-3  # floor of a coordinate's std at the start: if all its grey levels are equal, the std of u/256 is 1.1e-3


class Diagonal(Bijection):
    """The scaling of vectors (batch, D). It is built as the identity; `start` gives each coordinate variance 1."""

    def __init__(self, dimensions: int):
        super().__init__()
        self.s = nn.Parameter(torch.zeros(dimensions))

    def forward(self, x):
        return x * self.s.exp(), self.s.sum().expand(len(x))

    def inverse(self, y):
        return y * (-self.s).exp(), -self.s.sum().expand(len(y))

    def start(self, x):
        """Set s = -log std(x) for each coordinate of the rows x, and return z.

        Without this start, training would need thousands of steps to scale the constant pixels of dequantised images.
        """
        with torch.no_grad():
            self.s.copy_(-x.std(dim=0, correction=0).clamp_min(MIN_STD).log())
        return self(x)[0]
