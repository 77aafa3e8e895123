"""The affine coupling of Real NVP (Dinh, Sohl-Dickstein and Bengio, 2017, equations 4-8).

z_A = x_A,  z_B = exp(s(x_A)) * x_B + t(x_A). The Jacobian is triangular: log |det| = sum s(x_A). Neither
s nor t needs an inverse.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gen_models.bijections.bijection import Bijection
from gen_models.bijections.partition import Partition
from gen_models.layers.mlp import mlp

MAX_LOG_SCALE = 2.0  # an unbounded exp(s) overflows in the inverse first, on draws far from the data


class AffineCoupling(Bijection):
    """A coupling of vectors (batch, D) that starts as the identity.

    s = c tanh(raw/c) with c = MAX_LOG_SCALE: symmetric, so that it stretches as easily as it shrinks, of
    slope 1 at 0, and e^-c <= dz/dx <= e^c.
    """

    kept: Tensor
    moved: Tensor

    def __init__(self, partition: Partition, hidden: Sequence[int]):
        super().__init__()
        self.kept = nn.Buffer(partition.kept.clone())  # a copy: a checkpoint refuses tensors that share memory
        self.moved = nn.Buffer(partition.moved.clone())
        self.net = mlp(len(partition.kept), hidden, 2 * len(partition.moved), is_zero_at_start=True)

    def forward(self, x):
        s, t = self._s_and_t(x)
        z = x.index_copy(1, self.moved, s.exp() * x[:, self.moved] + t)
        return z, s.sum(dim=1)

    def inverse(self, y):
        s, t = self._s_and_t(y)
        x = y.index_copy(1, self.moved, (y[:, self.moved] - t) * (-s).exp())
        return x, -s.sum(dim=1)

    def _s_and_t(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raw, t = self.net(x[:, self.kept]).chunk(2, dim=1)
        return MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE), t
