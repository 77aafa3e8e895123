"""Multi-scale Real NVP for images (Dinh, Sohl-Dickstein and Bengio, 2017, section 3.6 and figure 4).

    first, grey levels are mapped to the line
    then, at each scale but the last: 3 checkerboard couplings, squeeze, 3 channel couplings,
    after which half of the channels become latents
    at the last scale: 4 checkerboard couplings

Neighbouring couplings keep opposite halves. Where height and width are even, the network of a checkerboard coupling
receives the image squeezed, in which a checkerboard is a mask of channels. There are then a quarter of the positions,
with four times the channels, and a network of the same width takes a quarter of the time.
"""

from collections.abc import Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from gen_models.bijections.batch_norm import FlowBatchNorm
from gen_models.bijections.bijection import Bijection, Compose
from gen_models.bijections.image_coupling import ChannelCoupling, MaskedCoupling, Network, checkerboard
from gen_models.bijections.multi_scale import MultiScale
from gen_models.bijections.squeeze import Squeeze, pyramid
from gen_models.errors import ConfigError
from gen_models.flows.image_flow import ImageFlow
from gen_models.layers.arguments import require_choice, require_whole
from gen_models.layers.levels import Levels
from gen_models.layers.resnet import NORMS, ResNet

BETWEEN = 3  # couplings of each kind at each scale but the last
AT_THE_END = 4


class ImageRealNVP(ImageFlow):
    """A Real NVP of images (C, H, W), H and W divisible by 2^(scales - 1).

    scales      number of scales; all but the last squeeze: 3 for 28x28 (to 7x7), 4 for 32x32, 2 or 3 for 8x8. With 1
                there are only the 4 couplings of the last scale
    channels    the width of the networks that compute the couplings' log scales s and shifts t
    blocks      the depth of these networks in residual blocks
    norm        inside the networks: weight, batch or none
    batch_norm  whether a flow batch norm follows each coupling
    to_line     how grey levels are mapped to the line, logit or histogram: see flows/image_flow.py
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        scales: int,
        channels: int,
        blocks: int,
        norm: str = "weight",
        batch_norm: bool = True,
        to_line: str = "logit",
    ):
        require_whole("scales", scales)
        require_whole("channels", channels)
        require_whole("blocks", blocks, least=0)
        require_choice("norm", norm, NORMS)
        shapes = pyramid(event_shape, scales, squeezes=scales - 1)
        if shapes[-1][1:] == (1, 1):
            raise ConfigError(f"scales = {scales} cannot be used: a checkerboard of 1x1 keeps nothing; give fewer")
        network = partial(ResNet, width=channels, blocks=blocks, norm=norm)
        bijections: list[Bijection] = []
        for shape in shapes[:-1]:
            squeezed = 4 * shape[0]
            halves = [ChannelCoupling(squeezed, network, is_first_kept=i % 2 == 0) for i in range(BETWEEN)]
            before = with_batch_norm(checkerboards(shape, BETWEEN, network), shape[0], batch_norm)
            after = with_batch_norm(halves, squeezed, batch_norm)
            bijections.append(Compose([*before, Squeeze(), *after]))
        last = checkerboards(shapes[-1], AT_THE_END, network)
        bijections.append(Compose(with_batch_norm(last, shapes[-1][0], batch_norm)))
        returned = [(4 * c, h // 2, w // 2) for c, h, w in shapes[:-1]] + shapes[-1:]
        multi_scale = MultiScale(bijections, returned)
        super().__init__(event_shape, levels, multi_scale, to_line=to_line)


class OfSquares(nn.Module):
    """A network that squeezes its input, so that each 2x2 square is one position, and undoes this in its output.

    network  builds the network between the two, as network(inputs, outputs)
    """

    def __init__(self, inputs: int, outputs: int, *, network: Network):
        super().__init__()
        self.squeeze = Squeeze()
        self.net = network(4 * inputs, 4 * outputs)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs height width"]:
        squares, _ = self.squeeze(x)
        return self.squeeze.inverse(self.net(squares))[0]


def checkerboards(shape: tuple[int, int, int], count: int, network: Network) -> list[Bijection]:
    """Return `count` checkerboard couplings of images of shape (C, H, W), which keep the two colours in turn."""
    channels, height, width = shape
    is_even = height % 2 == width % 2 == 0
    seen = partial(OfSquares, network=network) if is_even else network
    return [MaskedCoupling(channels, checkerboard(height, width, colour % 2), seen) for colour in range(count)]


def with_batch_norm(couplings: Sequence[Bijection], channels: int, batch_norm: bool) -> list[Bijection]:
    """Return the couplings, each followed by flow batch norm if `batch_norm` is true."""
    return [part for coupling in couplings for part in [coupling, *([FlowBatchNorm(channels)] if batch_norm else [])]]
