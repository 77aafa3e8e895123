"""The two networks of an autoencoder: the encoder maps rows to vectors, the decoder maps vectors to rows.

Each is a multilayer perceptron whose hidden layers have the widths `hidden`. For images, `channels` puts convolutions
between the image and the perceptron. Each of its entries is the number of output channels of a convolution of kernel 4
and stride 2, which halves the image; the output of the last convolution is flattened for the perceptron. The decoder
has a transposed convolution for each convolution of the encoder. Because the stride divides the kernel's side, every
pixel is covered equally often; with other kernels a checkerboard pattern appears (Odena, Dumoulin and Olah, 2016). The
encoder rounds half of an odd side down, and the decoder restores the odd side: 28 -> 14 -> 7 -> 3 -> 7 -> 14 -> 28.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_choice, require_widths
from gen_models.layers.data_scale import dimensions
from gen_models.layers.mlp import ACTIVATIONS, mlp


def encoder(
    event_shape: Sequence[int],
    hidden: Sequence[int],
    outputs: int,
    *,
    channels: Sequence[int] = (),
    activation: str = "silu",
) -> nn.Sequential:
    """Build the encoder, a network (batch, D) -> (batch, outputs), where a row is flattened to D numbers.

    Without channels it is `mlp`, with the same initial weights. Raises ConfigError for a width below 1 or an unknown
    activation; with channels, also if event_shape is not [C, H, W] or if H or W cannot be halved len(channels) times.
    """
    _check(hidden, channels, activation)
    act = ACTIVATIONS[activation]
    if not channels:
        return mlp(dimensions(event_shape), hidden, outputs, activation=act)
    shapes = _shapes(event_shape, channels)
    layers: list[nn.Module] = [nn.Unflatten(1, shapes[0])]
    for (n, *_), (m, *_) in pairwise(shapes):
        layers += [nn.Conv2d(n, m, 4, stride=2, padding=1), act()]
    return nn.Sequential(*layers, nn.Flatten(1), *mlp(math.prod(shapes[-1]), hidden, outputs, activation=act))


def decoder(
    event_shape: Sequence[int],
    hidden: Sequence[int],
    inputs: int,
    *,
    channels: Sequence[int] = (),
    activation: str = "silu",
) -> nn.Sequential:
    """Build the decoder, a network (batch, inputs) -> (batch, D): the layers of `encoder` in reverse.

    Pass `hidden` and `channels` in the encoder's order, not reversed. Raises ConfigError like `encoder`.
    """
    _check(hidden, channels, activation)
    act = ACTIVATIONS[activation]
    if not channels:
        return mlp(inputs, hidden[::-1], dimensions(event_shape), activation=act)
    small, *larger = _shapes(event_shape, channels)[::-1]
    layers: list[nn.Module] = [*mlp(inputs, hidden[::-1], math.prod(small), activation=act), nn.Unflatten(1, small)]
    for (n, *_), (m, *size) in pairwise([small, *larger]):
        odd = (size[0] % 2, size[1] % 2)
        layers += [act(), nn.ConvTranspose2d(n, m, 4, stride=2, padding=1, output_padding=odd)]
    return nn.Sequential(*layers, nn.Flatten(1))


def by_vectors(network: nn.Module, z: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
    """Return network(z) for z with one or more batch axes.

    Convolutions accept a single batch axis, so the axes are flattened to one and restored in the result.
    """
    if z.ndim == 2:
        return network(z)
    outputs = network(z.flatten(0, -2))
    return outputs.view(*z.shape[:-1], outputs.shape[-1])


def _shapes(event_shape: Sequence[int], channels: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shape (C, H, W) of the image and of each convolution's output."""
    if len(event_shape) != 3:
        raise ConfigError(
            f"event_shape = {list(event_shape)} is no image: give [channels, height, width], or channels: []"
        )
    _, height, width = event_shape
    if min(height, width) >> len(channels) < 1:
        raise ConfigError(
            f"channels = {list(channels)} cannot be used: {height}x{width} halves fewer times; give fewer"
        )
    return [tuple(event_shape), *((c, height >> k, width >> k) for k, c in enumerate(channels, start=1))]


def _check(hidden: Sequence[int], channels: Sequence[int], activation: str) -> None:
    require_widths("hidden", hidden)
    require_widths("channels", channels)
    require_choice("activation", activation, ACTIVATIONS)
