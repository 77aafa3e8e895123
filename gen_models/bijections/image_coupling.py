"""Affine couplings of images (Dinh, Sohl-Dickstein and Bengio, 2017, equations 7-9).

    y = b x + (1 - b) (x exp(s(b x)) + t(b x)),    log |det dy/dx| = sum (1 - b) s(b x)

b is 1 where the coupling keeps x and 0 where it moves x. It keeps one colour of a checkerboard, or one half of the
channels. The inverse of the coupling does not need an inverse of s or t.

One network computes both s and t. The caller passes a function that builds it: network(inputs, outputs) returns a
module that maps images with `inputs` channels to images with `outputs` channels, of the same height and width. If its
last layer is 0, the coupling starts as the identity.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.bijections.bijection import Bijection
from gen_models.bijections.coupling import MAX_LOG_SCALE

Network = Callable[[int, int], nn.Module]


class MaskedCoupling(Bijection):
    """A coupling that keeps the numbers where the mask `kept` is 1, and moves the others.

    It is for masks of positions, such as checkerboards, where the kept numbers alone do not form an image: the network
    sees the whole image, with 0 for the numbers that are moved.
    """

    moved: Tensor

    def __init__(self, channels: int, kept: Float[Tensor, "#channels #height #width"], network: Network):
        super().__init__()
        self.moved = nn.Buffer(1 - kept)
        self.net = network(channels, 2 * channels)
        self.bounded = BoundedLogScale(channels)

    def forward(self, x):
        s, t = self._s_and_t(x)
        return x * s.exp() + t, s.flatten(1).sum(dim=1)

    def inverse(self, y):
        s, t = self._s_and_t(y)
        return (y - t) * (-s).exp(), -s.flatten(1).sum(dim=1)

    def _s_and_t(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (s, t), both 0 at the numbers that are kept."""
        raw, t = self.net(x * (1 - self.moved)).chunk(2, dim=1)
        return self.moved * self.bounded(raw), self.moved * t


class ChannelCoupling(Bijection):
    """A coupling that keeps one half of the channels.

    The network sees only the kept half, and returns s and t for the moved half.

    is_first_kept  which half is kept. Neighbouring couplings should keep opposite halves, or have a map between them
                   that mixes the channels
    """

    def __init__(self, channels: int, network: Network, *, is_first_kept: bool = True):
        super().__init__()
        self.middle = channels // 2
        self.is_first_kept = is_first_kept
        kept = self.middle if is_first_kept else channels - self.middle
        self.net = network(kept, 2 * (channels - kept))
        self.bounded = BoundedLogScale(channels - kept)

    def forward(self, x):
        kept, moved = self._halves(x)
        s, t = self._s_and_t(kept)
        return self._whole(kept, moved * s.exp() + t), s.flatten(1).sum(dim=1)

    def inverse(self, y):
        kept, moved = self._halves(y)
        s, t = self._s_and_t(kept)
        return self._whole(kept, (moved - t) * (-s).exp()), -s.flatten(1).sum(dim=1)

    def _s_and_t(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        raw, t = self.net(kept).chunk(2, dim=1)
        return self.bounded(raw), t

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x[:, : self.middle], x[:, self.middle :]
        return (first, second) if self.is_first_kept else (second, first)

    def _whole(self, kept: Tensor, moved: Tensor) -> Tensor:
        return torch.cat([kept, moved] if self.is_first_kept else [moved, kept], dim=1)


class BoundedLogScale(nn.Module):
    """s = c tanh(raw/c), the bounded log scale of a coupling, computed from the network's output raw.

    It bounds the coupling's slope: e^-c <= dy/dx <= e^c. It is symmetric, and the division by c gives it the slope 1 at
    0, for every c; s = c tanh(raw) of the Real NVP paper has the slope c. Each channel learns its c: one small value
    for all channels could not scale pixels that differ by orders of magnitude, such as the background and the strokes
    of digits.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.log_bound = nn.Parameter(torch.full((channels, 1, 1), math.log(MAX_LOG_SCALE)))

    def forward(
        self, raw: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        bound = self.log_bound.exp()
        return bound * torch.tanh(raw / bound)


def checkerboard(height: int, width: int, colour: int) -> Float[Tensor, "1 height width"]:
    """Return a mask that is 1 where row + column + colour is even; colours 0 and 1 are opposite."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    return ((rows + columns + colour) % 2 == 0)[None].to(torch.get_default_dtype())
