"""The corruptions that a denoising autoencoder learns to undo.

Source: Vincent, Larochelle, Lajoie, Bengio and Manzagol, 2010, section 4.1.

    gaussian         x + level * unit * epsilon, epsilon ~ N(0, 1). The unit is the network's: the range of all q
                     levels, or the standard deviation of the dimension
    masking          a share `level` of the numbers is erased: set to 0 on levels, else to the dimension's mean
    salt_and_pepper  a share `level` is set, by a fair coin, to 0 or q - 1, the darkest or brightest level
    none             x

Rows go in and come out in the data's units. Gaussian noise is not rounded to the levels: values can lie between
them and beyond them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_choice, require_positive
from gen_models.layers.data_scale import DataScale
from gen_models.layers.levels import Levels, grey_levels
from gen_models.noise import Noise

CORRUPTIONS = ("none", "gaussian", "masking", "salt_and_pepper")


def require_corruption(kind: str, level: float, levels: Levels) -> None:
    """Raise ConfigError if the kind is unknown or impossible for these data, or if the level is out of range."""
    require_choice("corruption", kind, CORRUPTIONS)
    if kind == "none":
        return
    require_positive("corruption_level", level)
    if kind != "gaussian" and level > 1:
        raise ConfigError(f"corruption_level = {level} cannot be used: {kind} takes a share, give at most 1")
    if kind == "salt_and_pepper" and grey_levels(levels) is None:
        raise ConfigError(
            "corruption = 'salt_and_pepper' needs a darkest and a brightest level: use gaussian or masking"
        )


def corrupted(
    x: Float[Tensor, "batch *event"], kind: str, level: float, scale: DataScale, noise: Noise
) -> Float[Tensor, "batch *event"]:
    """Return a random corruption of x, drawn from the streams "corruption" and "corruption.coin"."""
    if kind == "none":
        return x
    if kind == "gaussian":
        return x + level * scale.scale * noise.normal("corruption", x.shape, like=x)
    is_hit = noise.uniform("corruption", x.shape, like=x) < level
    wiped = scale.blank().expand_as(x)
    if kind == "salt_and_pepper":
        assert scale.levels is not None
        wiped = (scale.levels - 1) * noise.bernoulli("corruption.coin", 0.5, x.shape, like=x)
    return torch.where(is_hit, wiped, x)
