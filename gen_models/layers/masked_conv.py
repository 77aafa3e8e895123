"""Convolutions of a grid in raster order, without a blind spot (van den Oord et al., 2016, section 2).

There are two stacks. At (i, j) the vertical one sees the rows above in a widening cone, and the horizontal one sees the
row to the left. The position of the kernel acts as the mask: no weight is multiplied by 0.

    type A (strict)   the first layer: the vertical sees rows < i, the horizontal columns < j
    type B            later layers: rows <= i of features that saw rows < i, columns <= j of those that saw columns < j

The vertical features at (i, j) therefore depend on the rows above i only, and go to the horizontal stack unshifted. The
horizontal stack works on each row by itself, which makes sampling affordable.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class VerticalConv(nn.Module):
    """A convolution whose (i, j) sees columns j - reach .. j + reach of rows i - reach .. i.

    If strict it sees rows i - reach - 1 .. i - 1.
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
    """A convolution whose (i, j) sees columns j - reach .. j of row i, or j - reach - 1 .. j - 1 if strict."""

    def __init__(self, inputs: int, outputs: int, *, reach: int, is_strict: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, (1, reach + 1))
        self.reach = reach
        self.is_strict = is_strict

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h w"]:
        left, right = (self.reach + 1, -1) if self.is_strict else (self.reach, 0)
        return self.conv(F.pad(x, (left, right)))


class GatedLayer(nn.Module):
    """One layer of both stacks, y = tanh(a) sigmoid(b); the vertical stack feeds the horizontal one.

    The horizontal stack has a residual connection from layer 2 on.

    context  channels of a grid that every position may see; 0: no such grid
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
        """Return (the vertical stack's next features, what it passes to the horizontal stack)."""
        v = self.vertical(v)
        if self.context is not None:
            v = v + self.context(context)
        return gate(v), self.link(v)

    def right(self, h: Float[Tensor, "batch channels h w"], told: Float[Tensor, "batch twice h w"]) -> Tensor:
        """Return the horizontal stack's next features.

        The first layer has no residual connection, because its input at (i, j) contains the code at (i, j) itself.
        """
        y = self.out(gate(self.horizontal(h) + told))
        return y if self.is_first else h + y


def gate(x: Float[Tensor, "batch twice h w"]) -> Float[Tensor, "batch channels h w"]:
    """Return tanh(a) sigmoid(b) of the two halves of the channels."""
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)
