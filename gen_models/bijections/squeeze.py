"""The squeeze, which turns space into channels so that an image can be split by channels.

Source: Dinh, Sohl-Dickstein and Bengio, 2017, section 3.6. The shape (C, 2h, 2w) becomes (4C, h, w): each 2x2 square
becomes one position. This is a permutation, so log |det| = 0.
"""

from collections.abc import Sequence

from gen_models.bijections.bijection import Bijection
from gen_models.errors import ConfigError


class Squeeze(Bijection):
    """y[(2i + j)C + c, u, v] = x[c, 2u + i, 2v + j], where x has C channels and i and j are 0 or 1.

    The pixel (i, j) of the 2x2 square (u, v) becomes the channels (2i + j)C .. (2i + j + 1)C - 1 at (u, v), so the
    first half of the channels is the upper row of each square. A checkerboard coupling leaves one pixel in each row of
    a square unchanged, and so never exactly the upper row. Therefore channel couplings after the squeeze change some
    values that the checkerboard couplings before it left unchanged, and leave unchanged some that these had changed.
    """

    def forward(self, x):
        batch, channels, height, width = x.shape
        squares = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
        y = squares.permute(0, 3, 5, 1, 2, 4).reshape(batch, 4 * channels, height // 2, width // 2)
        return y, x.new_zeros(batch)

    def inverse(self, y):
        batch, channels, height, width = y.shape
        squares = y.reshape(batch, 2, 2, channels // 4, height, width)
        x = squares.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // 4, 2 * height, 2 * width)
        return x, y.new_zeros(batch)


def pyramid(event_shape: Sequence[int], scales: int, *, squeezes: int) -> list[tuple[int, int, int]]:
    """Return the shape (C, H, W) that enters each scale.

    A scale squeezes its input, and half of the resulting channels become latents, so that the shapes are (C, H, W),
    (2C, H/2, W/2), (4C, H/4, W/4), ...

    squeezes  how many of the scales squeeze: all of them, or all but the last

    Raises ConfigError unless rows are images whose height and width can be halved `squeezes` times.
    """
    if len(event_shape) != 3:
        raise ConfigError(f"event_shape = {list(event_shape)} is no image: give [channels, height, width]")
    channels, height, width = event_shape
    if height % 2**squeezes or width % 2**squeezes:
        raise ConfigError(
            f"scales = {scales} cannot be used: {height}x{width} does not halve {squeezes} times; give fewer scales"
        )
    return [(channels << k, height >> k, width >> k) for k in range(scales)]
