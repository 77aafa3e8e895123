"""Scaling of each coordinate by a factor of its own, z = exp(s) * x (Dinh, Krueger and Bengio, 2015, section 3.3).

NICE ends with it: its couplings preserve volume, and S = diag(exp s) says which directions matter, log |det| = sum s.
"""

import torch
from torch import nn

from gen_models.bijections.bijection import Bijection

MIN_STD = 1e-3  # of a coordinate at the start: that of grey levels u/256 which are all equal is 1.1e-3


class Diagonal(Bijection):
    """Of vectors (batch, D): the identity as constructed; its start gives every coordinate unit variance."""

    def __init__(self, dimensions: int):
        super().__init__()
        self.s = nn.Parameter(torch.zeros(dimensions))

    def forward(self, x):
        return x * self.s.exp(), self.s.sum().expand(len(x))

    def inverse(self, y):
        return y * (-self.s).exp(), -self.s.sum().expand(len(y))

    def start(self, x):
        """s = -log std(x), without which constant pixels of dequantised images cost thousands of steps."""
        with torch.no_grad():
            self.s.copy_(-x.std(dim=0, correction=0).clamp_min(MIN_STD).log())
        return self(x)[0]
