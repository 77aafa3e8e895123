"""Convolutions for a PixelCNN: the output at a position of a grid depends only on the positions before it.

The order of positions is raster order: row by row, and from left to right within a row. (i, j) is row i, column j.
Layers have two stacks, which together have no blind spot (van den Oord et al., 2016, section 2): at (i, j) the vertical
stack sees the rows above i, in a cone that widens with each layer, and the horizontal stack sees row i to the left of
j. A convolution is kept from seeing later positions by where its kernel is placed, so no weight is multiplied by a mask
of zeros.

    type A (strict)   the first layer. The vertical convolution reads rows < i, the horizontal one columns < j
    type B            later layers. The vertical convolution reads rows <= i of its features, which saw rows < i only;
                      the horizontal one reads columns <= j of its features, which saw columns < j only

The vertical features at (i, j) therefore depend on the rows above i only, and are passed to the horizontal stack at the
same position. The horizontal stack works on each row by itself: for each new position, sampling only has to run it on
the current row, which makes sampling affordable.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class VerticalConv(nn.Module):
    """A convolution whose output at (i, j) depends on rows i - reach .. i and columns j - reach .. j + reach.

    If is_strict, the rows are i - reach - 1 .. i - 1 instead.
    """

    def __init__(self, inputs: int, outputs: int, *, reach: int, is_strict: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, (reach + 1, 2 * reach + 1))
        self.reach = reach
        self.is_strict = is_strict

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h w"]:
        top, bottom = (self.reach + 1, -1) if self.is_strict else (self.reach, 0)
        return self.conv(F.pad(x, (self.reach, self.reach, top, bottom)))


class HorizontalConv(nn.Module):
    """A convolution whose output at (i, j) depends on columns j - reach .. j of row i.

    If is_strict, the columns are j - reach - 1 .. j - 1 instead.
    """

    def __init__(self, inputs: int, outputs: int, *, reach: int, is_strict: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, (1, reach + 1))
        self.reach = reach
        self.is_strict = is_strict

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h w"]:
        left, right = (self.reach + 1, -1) if self.is_strict else (self.reach, 0)
        return self.conv(F.pad(x, (left, right)))


class GatedLayer(nn.Module):
    """One layer of both stacks. Each has the gate tanh(a) sigmoid(b), where a and b are the two halves of its channels.

    The vertical stack feeds the horizontal one. The horizontal stack has a residual connection except in the first
    layer.

    context  channels of a second grid, which conditions the density and is visible to every position; 0: there is none
    """

    def __init__(self, channels: int, *, reach: int, is_first: bool, context: int = 0):
        super().__init__()
        self.vertical = VerticalConv(channels, 2 * channels, reach=reach, is_strict=is_first)
        self.horizontal = HorizontalConv(channels, 2 * channels, reach=reach, is_strict=is_first)
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.context = nn.Conv2d(context, 2 * channels, 1, bias=False) if context else None
        self.is_first = is_first

    def down(self, v: Float[Tensor, "batch channels h w"], context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return (the vertical stack's next features, the features before the gate that the horizontal stack receives).

        context  the conditioning grid, (batch, context, h, w), or None
        """
        v = self.vertical(v)
        if self.context is not None:
            v = v + self.context(context)
        return gate(v), self.link(v)

    def right(self, h: Float[Tensor, "batch channels h w"], told: Float[Tensor, "batch twice h w"]) -> Tensor:
        """Return the horizontal stack's next features; `told` is the second result of `down`.

        The first layer has no residual connection, because its input at (i, j) is the code at (i, j) itself, which the
        output must not see.
        """
        y = self.out(gate(self.horizontal(h) + told))
        return y if self.is_first else h + y


def gate(x: Float[Tensor, "batch twice h w"]) -> Float[Tensor, "batch channels h w"]:
    """Return tanh(a) sigmoid(b), where a and b are the first and the second half of the channels of x."""
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)
