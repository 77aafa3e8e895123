"""The networks of DCGAN (Radford, Metz and Chintala, 2016), for images of any size.

In the discriminator, strided convolutions halve the image and double the channels; in the generator, transposed
convolutions double the image and halve the channels. Batch norm follows every layer except the generator's last and the
discriminator's first. The generator uses ReLU and tanh, the discriminator leaky ReLU of slope 0.2. Weights start as
N(0, 0.02^2) (the paper's section 3 and figure 1). An odd kernel k with padding (k - 1)/2 and stride 2 maps a side n to
ceil(n/2):

    64 -> 32 -> 16 -> 8 -> 4     32 -> 16 -> 8 -> 4     28 -> 14 -> 7 -> 4     8 -> 4 -> 2

The paper's images are on [-1, 1]. Here images of grey levels are dequantised to [0, 1]. With `is_unit`, the generator
maps the output of tanh to [0, 1], and the discriminator maps its input from [0, 1] to [-1, 1].
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_whole
from gen_models.layers.batch_norm import BatchNorm

SMALLEST = 4  # sides are halved until none is longer than this
LEAST_HALVINGS = 2  # with one halving, no layer of the discriminator would have batch norm
WEIGHT_STD = 0.02
LEAK = 0.2

Size = tuple[int, int]


def halved_sizes(event_shape: Sequence[int]) -> list[Size]:
    """Return the (height, width) of the image and of each smaller image, largest first.

    Each size is half of the one before, rounded up. The image is halved at least twice, and until no side is longer
    than 4. Raises ConfigError if event_shape is not [channels, height, width].
    """
    if len(event_shape) != 3:
        raise ConfigError(f"event_shape = {list(event_shape)} is no image: give [channels, height, width]")
    sizes = [(event_shape[1], event_shape[2])]
    while max(sizes[-1]) > SMALLEST or len(sizes) <= LEAST_HALVINGS:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


class Generator(nn.Module):
    """A network (batch, latent) -> (batch, C, H, W) for event_shape = [C, H, W].

    channels  of the largest hidden image; each smaller one has twice as many
    kernel    side of the convolutions' kernels, an odd number
    is_unit   true: a last tanh puts the outputs within [0, 1]; false: the last layer is linear
    """

    def __init__(self, latent: int, event_shape: Sequence[int], *, channels: int, kernel: int = 5, is_unit: bool):
        super().__init__()
        require_whole("latent", latent)
        *sizes, smallest = halved_sizes(event_shape)
        widths = layer_widths(channels, len(sizes))
        require_odd(kernel)
        self.smallest = smallest
        self.is_unit = is_unit
        self.project = nn.Linear(latent, widths[-1] * smallest[0] * smallest[1], bias=False)
        layers: list[nn.Module] = [BatchNorm(widths[-1]), nn.ReLU()]
        size = smallest
        for inputs, outputs, larger in zip(widths[:0:-1], widths[-2::-1], sizes[:0:-1], strict=True):
            layers += [doubling(inputs, outputs, kernel, size, larger, bias=False), BatchNorm(outputs), nn.ReLU()]
            size = larger
        layers.append(doubling(widths[0], event_shape[0], kernel, size, sizes[0], bias=True))
        self.layers = nn.Sequential(*layers)
        start(self)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        y = self.layers(self.project(z).unflatten(1, (-1, *self.smallest)))
        return (torch.tanh(y) + 1) / 2 if self.is_unit else y


class Discriminator(nn.Module):
    """A network (batch, C, H, W) -> (batch,) that returns a logit for each image, with event_shape = [C, H, W].

    channels  of the first convolution's output; each further convolution has twice as many
    kernel    side of the convolutions' kernels, an odd number
    is_unit   true: images are on [0, 1], and are mapped to [-1, 1]; false: images enter unchanged
    """

    def __init__(self, event_shape: Sequence[int], *, channels: int, kernel: int = 5, is_unit: bool):
        super().__init__()
        _, *sizes = halved_sizes(event_shape)
        widths = layer_widths(channels, len(sizes))
        require_odd(kernel)
        self.is_unit = is_unit
        layers: list[nn.Module] = [halving(event_shape[0], widths[0], kernel), nn.LeakyReLU(LEAK)]
        for inputs, outputs in pairwise(widths):
            layers += [halving(inputs, outputs, kernel, bias=False), BatchNorm(outputs), nn.LeakyReLU(LEAK)]
        height, width = sizes[-1]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * height * width, 1))
        start(self)

    def forward(self, y: Float[Tensor, "batch channels height width"]) -> Float[Tensor, " batch"]:
        return self.layers(2 * y - 1 if self.is_unit else y).squeeze(1)


def layer_widths(channels: int, halvings: int) -> list[int]:
    """Return the number of channels after each halving: `channels`, then twice as many each time.

    Raises ConfigError unless channels is a whole number of at least 1.
    """
    require_whole("channels", channels)
    return [channels * 2**i for i in range(halvings)]


def halving(inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> nn.Conv2d:
    """Build a convolution of stride 2 that maps a side n to ceil(n/2).

    Pass bias=False where batch norm follows, because batch norm would subtract the bias again.
    """
    return nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=bias)


def doubling(inputs: int, outputs: int, kernel: int, size: Size, larger: Size, *, bias: bool) -> nn.ConvTranspose2d:
    """Build a transposed convolution of stride 2 from images of size `size` to images of size `larger`.

    Both are (height, width). Each side of `larger` must be 2 m - 1 or 2 m, where m is the same side of `size`: these
    are the two sides that `halving` maps to m.
    """
    extra = (larger[0] - 2 * size[0] + 1, larger[1] - 2 * size[1] + 1)
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, output_padding=extra, bias=bias)


def require_odd(kernel: int) -> None:
    """Raise ConfigError unless kernel is an odd whole number, so that a kernel of this side has a middle."""
    require_whole("kernel", kernel)
    if kernel % 2 == 0:
        raise ConfigError(f"kernel = {kernel} cannot be used: give an odd number, as 3 or 5")


@torch.no_grad()
def start(network: nn.Module) -> None:
    """Draw the weights of linear layers and convolutions from N(0, 0.02^2) and set their biases to 0.

    Batch norm is left as it was built, with scale 1 and shift 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=WEIGHT_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
