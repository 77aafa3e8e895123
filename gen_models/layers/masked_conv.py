"""Convolutions of a grid in raster order, without a blind spot (van den Oord et al., 2016, section 2).

Two stacks: a vertical one, whose (i, j) sees rows above in a widening cone, and a horizontal one, whose (i, j) sees the
row to the left. A mask is realised by the kernel's place: no weight is multiplied by 0.

    type A (strict)   the first layer: the vertical sees rows < i, the horizontal columns < j
    type B            the later ones: rows <= i of what saw rows < i, columns <= j of what saw columns < j

So the vertical features at (i, j) know the rows above i alone and go to the horizontal stack as they are; that stack
works on each row by itself, which is what makes sampling affordable.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class VerticalConv(nn.Module):
    """(i, j) sees rows i - reach .. i, or i - reach - 1 .. i - 1 if strict, and columns j - reach .. j + reach."""

    def __init__(self, inputs: int, outputs: int, *, reach: int, is_strict: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, (reach + 1, 2 * reach + 1))
        self.reach = reach
        self.is_strict = is_strict

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h w"]:
        top, bottom = (self.reach + 1, -1) if self.is_strict else (self.reach, 0)
        return self.conv(F.pad(x, (self.reach, self.reach, top, bottom)))


class HorizontalConv(nn.Module):
    """(i, j) sees columns j - reach .. j, or j - reach - 1 .. j - 1 if strict, of row i."""

    def __init__(self, inputs: int, outputs: int, *, reach: int, is_strict: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, (1, reach + 1))
        self.reach = reach
        self.is_strict = is_strict

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h w"]:
        left, right = (self.reach + 1, -1) if self.is_strict else (self.reach, 0)
        return self.conv(F.pad(x, (left, right)))


class GatedLayer(nn.Module):
    """y = tanh(a) sigmoid(b) in both stacks; the vertical feeds the horizontal, whose residual begins at layer 2.

    context: channels of a grid that every position may see whole; 0 without one.
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
        """(the vertical stack's next features, what the horizontal stack is told)."""
        v = self.vertical(v)
        if self.context is not None:
            v = v + self.context(context)
        return gate(v), self.link(v)

    def right(self, h: Float[Tensor, "batch channels h w"], told: Float[Tensor, "batch twice h w"]) -> Tensor:
        """The horizontal stack's next features; the first layer's input holds (i, j) itself and is not passed on."""
        y = self.out(gate(self.horizontal(h) + told))
        return y if self.is_first else h + y


def gate(x: Float[Tensor, "batch twice h w"]) -> Float[Tensor, "batch channels h w"]:
    """tanh(a) sigmoid(b) of the two halves of the channels."""
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)
