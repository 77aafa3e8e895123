"""A residual convolutional network (He, Zhang, Ren and Sun, 2016) for the log scale and shift of couplings of images.

The blocks are pre-activation ones, h <- h + conv(act(norm(conv(act(norm(h)))))). The first convolution of a block is
3x3, the second 1x1. A second 3x3 convolution would let a block see further, at nine times the cost; on two cores this
time is better spent on width and couplings. `norm` chooses the normalisation: "weight" normalises the weights (Salimans
and Kingma, 2016), so the network is the same function in training and evaluation; "batch" is batch norm; or "none".
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from gen_models.layers.batch_norm import BatchNorm

NORMS = ("weight", "batch", "none")


class ResNet(nn.Module):
    """A network (batch, inputs, H, W) -> (batch, outputs, H, W) whose output is 0 before training.

    An output depends on inputs up to `blocks` + 1 positions away in each direction. SiLU is smooth, and so are
    densities built from it.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        blocks: int,
        norm: str = "weight",
        activation: Callable[[], nn.Module] = nn.SiLU,
    ):
        super().__init__()
        self.first = _conv(inputs, width, 3, norm)
        self.blocks = nn.Sequential(*[ResidualBlock(width, norm, activation) for _ in range(blocks)])
        self.norm = _norm(width, norm)
        self.activation = activation()
        self.last = zero_conv(width, outputs, 1)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs height width"]:
        h = self.first(x.contiguous(memory_format=torch.channels_last))  # else each convolution reorders memory
        return self.last(self.activation(self.norm(self.blocks(h))))


class ResidualBlock(nn.Module):
    """A block h + f(h), where f has two convolutions; a normalisation and an activation come before each."""

    def __init__(self, width: int, norm: str, activation: Callable[[], nn.Module]):
        super().__init__()
        self.residue = nn.Sequential(
            _norm(width, norm),
            activation(),
            _conv(width, width, 3, norm),
            _norm(width, norm),
            activation(),
            _conv(width, width, 1, norm),
        )

    def forward(self, h: Float[Tensor, "batch width *positions"]) -> Float[Tensor, "batch width *positions"]:
        return h + self.residue(h)


def zero_conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Build a convolution whose weights and biases are 0, so that a coupling that ends in it starts as the identity."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


def _conv(inputs: int, outputs: int, kernel: int, norm: str) -> nn.Module:
    """Build a convolution; before batch norm it has no bias, as batch norm removes every constant."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=norm != "batch")
    return weight_norm(conv) if norm == "weight" else conv


def _norm(width: int, norm: str) -> nn.Module:
    return BatchNorm(width) if norm == "batch" else nn.Identity()
