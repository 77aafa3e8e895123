"""Networks between an image and a grid of vectors 2^scales times coarser: strided convolutions and residual blocks.

They are the encoder and decoder of van den Oord, Vinyals and Kavukcuoglu (2017, section 4.1). The encoder has 4x4
convolutions of stride 2, then residual blocks (3x3 and 1x1); the decoder has them in reverse order.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_whole
from gen_models.layers.resnet import ResidualBlock


def down(inputs: int, outputs: int, *, width: int, blocks: int, scales: int) -> nn.Sequential:
    """Build an encoder (batch, inputs, H, W) -> (batch, outputs, H/2^scales, W/2^scales)."""
    layers: list[nn.Module] = []
    for scale in range(scales):
        layers += [nn.Conv2d(width if scale else inputs, width, 4, stride=2, padding=1), nn.ReLU()]
    layers.append(nn.Conv2d(width if scales else inputs, width, 3, padding=1))
    layers += [ResidualBlock(width, "none", nn.ReLU) for _ in range(blocks)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(width, outputs, 1))


@torch.no_grad()
def start_at_unit_variance(
    network: nn.Sequential, x: Float[Tensor, "batch inputs height width"]
) -> Float[Tensor, "batch outputs h w"]:
    """Scale the last convolution so that each output channel has mean 0 and variance 1 on x; return the outputs.

    This is a data-dependent start (Salimans and Kingma, 2016, section 3). A codebook needs it: where an encoder's first
    outputs lie close together, its first steps are larger than the distances between codes, and rows with different
    codes merge.
    """
    last = network[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    z = network(x)
    mean, std = z.mean(dim=(0, 2, 3)), z.std(dim=(0, 2, 3), correction=0)
    std = torch.where(std > 0, std, torch.ones_like(std))
    last.weight.div_(std[:, None, None, None])
    last.bias.sub_(mean).div_(std)
    return network(x)


def up(inputs: int, outputs: int, *, width: int, blocks: int, scales: int) -> nn.Sequential:
    """Build a decoder (batch, inputs, h, w) -> (batch, outputs, h 2^scales, w 2^scales)."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 3, padding=1)]
    layers += [ResidualBlock(width, "none", nn.ReLU) for _ in range(blocks)]
    for scale in range(scales):
        last = scale == scales - 1
        layers += [nn.ReLU(), nn.ConvTranspose2d(width, outputs if last else width, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)


def grid_shape(event_shape: Sequence[int], scales: int) -> tuple[int, int]:
    """Return (h, w) of the grid of an image (C, H, W).

    Raises ConfigError if event_shape is no image, or its sides are not divisible by 2^scales.
    """
    require_whole("scales", scales)
    if len(event_shape) != 3:
        raise ConfigError(f"event_shape = {list(event_shape)} is no image: give [channels, height, width]")
    _, height, width = event_shape
    for name, side in (("height", height), ("width", width)):
        if side % 2**scales:
            raise ConfigError(
                f"scales = {scales} halves a {name} of {side} to no whole number: "
                f"give a {name} that 2^{scales} divides, or fewer scales"
            )
    return height // 2**scales, width // 2**scales
