"""Networks between an image and a grid of vectors 2^scales times coarser: strided convolutions and residual blocks.

They are the encoder and decoder of van den Oord, Vinyals and Kavukcuoglu (2017, section 4.1). The encoder has 4x4
convolutions of stride 2, then residual blocks (3x3 and 1x1). The decoder has residual blocks, then transposed 4x4
convolutions of stride 2.

width   channels of the hidden layers
blocks  number of residual blocks
scales  number of convolutions of stride 2, each of which halves (in the decoder: doubles) height and width
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_whole
from gen_models.layers.resnet import ResidualBlock


def down(inputs: int, outputs: int, *, width: int, blocks: int, scales: int) -> nn.Sequential:
    """Build an encoder (batch, inputs, H, W) -> (batch, outputs, H/2^scales, W/2^scales); see the module docstring."""
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
    """Rescale the network's last convolution so that its output on x has mean 0 and variance 1 in each channel.

    Returns the rescaled output. A channel that is constant on x is only shifted to 0. This is a data-dependent start
    (Salimans and Kingma, 2016, section 3). An encoder in front of a codebook needs it: if its outputs lie close
    together before training, the first training steps move them further than the distances between codes, and rows that
    had different codes get the same one.
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
    """Build a decoder (batch, inputs, h, w) -> (batch, outputs, h 2^scales, w 2^scales); see the module docstring."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 3, padding=1)]
    layers += [ResidualBlock(width, "none", nn.ReLU) for _ in range(blocks)]
    for scale in range(scales):
        last = scale == scales - 1
        layers += [nn.ReLU(), nn.ConvTranspose2d(width, outputs if last else width, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)


def grid_shape(event_shape: Sequence[int], scales: int) -> tuple[int, int]:
    """Return (H/2^scales, W/2^scales), the height and width of the encoder's grid for event_shape = [C, H, W].

    Raises ConfigError if event_shape does not have three axes, if 2^scales does not divide H and W, or if scales is no
    whole number of at least 1.
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
