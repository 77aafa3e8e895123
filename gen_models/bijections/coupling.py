"""Couplings, which keep some coordinates and move the others as a function of the kept ones.

Source: Dinh, Krueger and Bengio, 2015, section 3.2. z_A = x_A,  z_B = g(x_B; m(x_A)), where A are the kept and B the
moved coordinates, g is invertible in x_B and m is any network: neither direction inverts m. The Jacobian is triangular,
so log |det| = sum log dg/dx_B.

The affine coupling of Real NVP (Dinh, Sohl-Dickstein and Bengio, 2017, equations 4-8) has g = exp(s) * x_B + t with
s, t = m(x_A), and log |det| = sum s.
"""

from abc import ABC
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gen_models.bijections.bijection import Bijection
from gen_models.bijections.partition import Partition
from gen_models.layers.mlp import mlp

MAX_LOG_SCALE = 2.0  # without a bound exp(s) overflows, first in the inverse, on draws far from the data


class Coupling(Bijection, ABC):
    """The base class of couplings of vectors: a partition, and a network that reads the kept coordinates.

    The network's output determines how the other coordinates move. Its last layer is 0 at the start; where an output of
    0 means no move, the coupling starts as the identity.

    outputs     how many numbers the network returns for each moved coordinate
    activation  of the network's hidden layers
    """

    kept: Tensor
    moved: Tensor

    def __init__(
        self,
        partition: Partition,
        hidden: Sequence[int],
        *,
        outputs: int = 1,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ):
        super().__init__()
        self.kept = nn.Buffer(partition.kept.clone())  # copied because a checkpoint refuses tensors that share memory
        self.moved = nn.Buffer(partition.moved.clone())
        self.net = mlp(
            len(partition.kept),
            hidden,
            outputs * len(partition.moved),
            activation=activation,
            is_zero_at_start=True,
        )


class AffineCoupling(Coupling):
    """An affine coupling of vectors (batch, D) that starts as the identity.

    s = c tanh(raw/c), where raw is the network's output and c = MAX_LOG_SCALE. It is symmetric, so the coupling
    stretches as easily as it shrinks; it has slope 1 at 0, and e^-c <= dz/dx <= e^c.
    """

    def __init__(self, partition: Partition, hidden: Sequence[int], *, activation: Callable[[], nn.Module] = nn.SiLU):
        super().__init__(partition, hidden, outputs=2, activation=activation)

    def forward(self, x):
        s, t = self._s_and_t(x)
        z = x.index_copy(1, self.moved, s.exp() * x.index_select(1, self.moved) + t)
        return z, s.sum(dim=1)

    def inverse(self, y):
        s, t = self._s_and_t(y)
        x = y.index_copy(1, self.moved, (y.index_select(1, self.moved) - t) * (-s).exp())
        return x, -s.sum(dim=1)

    def _s_and_t(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raw, t = self.net(x.index_select(1, self.kept)).chunk(2, dim=1)
        return MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE), t
