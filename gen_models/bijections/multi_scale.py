"""The multi-scale architecture (Dinh, Sohl-Dickstein and Bengio, 2017, section 3.6, equations 13-16).

h_0 = x,  (z_k, h_k) = halves of f_k(h_{k-1}),  z_K = f_K(h_{K-1}),  z = (z_1, ..., z_K). After each scale f_k but the
last, half of the channels become latents z_k, and h_k goes on to the next scale. Later scales therefore cost less, and
the likelihood's gradient reaches the early layers directly. z has as many coordinates as x, those of the first scale
first.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from gen_models.bijections.bijection import Bijection


class MultiScale(Bijection):
    """A bijection (batch, C, H, W) -> (batch, D), D = C H W.

    scales  the bijections f_1 .. f_K
    shapes  the shape (C, H, W) that each scale returns; C is even in all but the last
    """

    def __init__(self, scales: Sequence[Bijection], shapes: Sequence[tuple[int, int, int]]):
        super().__init__()
        *split, last = shapes
        assert len(scales) == len(shapes)
        assert all(channels % 2 == 0 for channels, _, _ in split)
        self.scales = cast(Sequence[Bijection], nn.ModuleList(scales))
        self.latents = [torch.Size([c // 2, h, w]) for c, h, w in split] + [torch.Size(last)]

    def forward(self, x):
        total = x.new_zeros(len(x))
        zs: list[Tensor] = []
        for scale in self.scales:
            h, log_det = scale(x)
            z, x = self._split(h, is_last=len(zs) == len(self.latents) - 1)
            zs.append(z.flatten(1))
            total = total + log_det
        return torch.cat(zs, dim=1), total

    def inverse(self, y):
        total = y.new_zeros(len(y))
        zs = [
            z.unflatten(1, shape)
            for z, shape in zip(y.split([s.numel() for s in self.latents], dim=1), self.latents, strict=True)
        ]
        x = zs[-1][:, :0]
        for scale, z in zip(reversed(self.scales), reversed(zs), strict=True):
            x, log_det = scale.inverse(torch.cat([z, x], dim=1))
            total = total + log_det
        return x, total

    def start(self, x):
        """Start each scale from the rows that the scales before it pass on; return z."""
        zs: list[Tensor] = []
        for scale in self.scales:
            z, x = self._split(scale.start(x), is_last=len(zs) == len(self.latents) - 1)
            zs.append(z.flatten(1))
        return torch.cat(zs, dim=1)

    def _split(self, h: Tensor, *, is_last: bool) -> tuple[Tensor, Tensor]:
        """Return (z_k, h_k): the latents, and what goes on to the next scale; after the last scale all are latents."""
        half = h.shape[1] if is_last else h.shape[1] // 2
        return h[:, :half], h[:, half:]
