"""The additive coupling of NICE (Dinh, Krueger and Bengio, 2015, equations 4-6).

z_A = x_A,  z_B = x_B + m(x_A), where A are the coordinates that are kept, B those that are moved, and m is a network.
It preserves volume: log |det| = 0.
"""

from collections.abc import Sequence

from torch import nn

from gen_models.bijections.coupling import Coupling
from gen_models.bijections.partition import Partition


class AdditiveCoupling(Coupling):
    """A coupling of vectors (batch, D) that starts as the identity; m is a network of ReLUs, as in the paper."""

    def __init__(self, partition: Partition, hidden: Sequence[int]):
        super().__init__(partition, hidden, activation=nn.ReLU)

    def forward(self, x):
        return x.index_add(1, self.moved, self.net(x.index_select(1, self.kept))), x.new_zeros(x.shape[0])

    def inverse(self, y):
        return y.index_add(1, self.moved, -self.net(y.index_select(1, self.kept))), y.new_zeros(y.shape[0])
