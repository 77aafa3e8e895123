"""The corruptions that a denoising autoencoder learns to undo.

Source: Vincent, Larochelle, Lajoie, Bengio and Manzagol, 2010, section 4.1.

    none             the row x unchanged
    gaussian         x + level * unit * epsilon, epsilon ~ N(0, 1). The unit is q for data on q grey levels, else the
                     standard deviation of the dimension
    masking          each number is erased with probability `level`: grey levels become 0, other numbers the mean of
                     their dimension
    salt_and_pepper  each pixel is hit with probability `level`; a fair coin sets it to 0 or to q - 1, the darkest or
                     the brightest grey level

Rows go in and come out in the data's units. Gaussian noise is not rounded to whole grey levels, and it can take values
outside 0 .. q - 1.
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
    """Raise ConfigError if a corruption is unknown, impossible for the data, or of a level that is out of range.

    kind    none, gaussian, masking or salt_and_pepper
    level   how strong the corruption is, as the module docstring defines it for each kind
    levels  what the numbers of a row are (layers/levels.py); salt_and_pepper needs grey levels
    """
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
    """Return x, in the data's units, after a random corruption of the given kind and level.

    The random numbers are those of the streams "corruption" and "corruption.coin" of `noise`.
    """
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
