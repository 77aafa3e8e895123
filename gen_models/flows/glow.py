"""Glow (Kingma and Dhariwal, 2018, section 3 and figure 2): steps of ActNorm, a 1x1 convolution and a coupling.

Each scale is a squeeze and then `steps` steps; after each scale but the last, half of the channels become latents.
Compared with Real NVP, the learned mixing of channels replaces the alternating masks, and ActNorm, initialised from
data, replaces batch norm.

The couplings start as the identity. The flow does not: its ActNorms normalise and its convolutions rotate.
"""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.bijections.actnorm import ActNorm
from gen_models.bijections.bijection import Bijection, Compose
from gen_models.bijections.image_coupling import ChannelCoupling, Network
from gen_models.bijections.invertible_conv import InvertibleConv
from gen_models.bijections.multi_scale import MultiScale
from gen_models.bijections.squeeze import Squeeze, pyramid
from gen_models.flows.image_flow import ImageFlow
from gen_models.layers.arguments import require_whole
from gen_models.layers.levels import Levels
from gen_models.layers.resnet import zero_conv


class Glow(ImageFlow):
    """A Glow of images (C, H, W), H and W divisible by 2^scales.

    scales    number of scales, each of which squeezes: 2 for 28x28 (to 7x7), 3 for 32x32, 2 or 3 for 8x8
    steps     number of steps in each scale
    channels  the width of the couplings' networks
    to_line   how grey levels are mapped to the line, logit or histogram: see flows/image_flow.py
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        scales: int,
        steps: int,
        channels: int,
        to_line: str = "logit",
    ):
        require_whole("scales", scales)
        require_whole("steps", steps)
        require_whole("channels", channels)
        shapes = [(4 * c, h // 2, w // 2) for c, h, w in pyramid(event_shape, scales, squeezes=scales)]
        network = partial(ThreeConvolutions, width=channels)
        flows = [Compose([Squeeze(), *glow_steps(squeezed, steps, network)]) for squeezed, _, _ in shapes]
        multi_scale = MultiScale(flows, shapes)
        super().__init__(event_shape, levels, multi_scale, to_line=to_line)


def glow_steps(channels: int, steps: int, network: Network) -> list[Bijection]:
    """Return the bijections of `steps` steps: ActNorm, invertible 1x1 convolution, affine coupling (table 1)."""
    return [
        part
        for _ in range(steps)
        for part in (ActNorm(channels), InvertibleConv(channels), ChannelCoupling(channels, network))
    ]


class ThreeConvolutions(nn.Module):
    """Convolutions 3x3, 1x1, 3x3, the last of which is 0 at the start: the paper's network, with SiLU in place of ReLU.

    SiLU is smooth, so the density is smooth too.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 1),
            nn.SiLU(),
            zero_conv(width, outputs, 3),
        )

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs height width"]:
        return self.layers(x.contiguous(memory_format=torch.channels_last))  # else each convolution reorders memory
