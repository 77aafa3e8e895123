"""Scores by what a model cannot rebuild. They need a Reconstructor.

    reconstruction   |X - D(E(X))|^2, summed over dimensions (Sakurada and Yairi, 2014)
    blurred          |g * (X - D(E(X)))|^2, for images on grey levels; * is a convolution, and g is a Gaussian with a
                     standard deviation of 1 pixel

X is a row on the unit scale (measures/units.py), D(E(X)) its reconstruction by the model. An edge that is reconstructed
half a pixel aside costs as much in `reconstruction` as a missing stroke. In `blurred` the error on one side of the edge
cancels the opposite error on the other side.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.score import Asked, Score, Setting, State
from gen_models.contracts import Reconstructor
from gen_models.evaluating import by_rows
from gen_models.layers.levels import grey_levels
from gen_models.measures.units import unit_scale

IMAGE_AXES = 4  # rows, channels, height, width
BLUR = 1.0  # standard deviation of the Gaussian, in pixels
BLUR_REACH = 3  # pixels to each side; beyond them, the Gaussian has less than 1% of its weight
MAPS = ("reconstruction", "blurred")  # the scores that are sums over pixels, which `error_maps` returns


def error_maps(
    model: Reconstructor,
    x: Float[Tensor, "batch channel height width"],
    setting: Setting,
    *,
    is_blurred: bool = True,
) -> Float[Tensor, "batch height width"]:
    """Return the squared error of each pixel, summed over channels, on the unit scale; a score is the sum over pixels.

    is_blurred  whether the errors are those of the score `blurred`; else they are those of `reconstruction`
    """

    def squares(rows: Tensor) -> Tensor:
        error = residual(model, rows, setting)
        return (_blurred(error) if is_blurred else error).square().sum(dim=1)

    return by_rows(squares, x)


def residual(model: Reconstructor, x: Float[Tensor, "batch *event"], setting: Setting) -> Float[Tensor, "batch *event"]:
    """Return D(E(X)) - X on the unit scale."""

    def units(x: Tensor) -> Tensor:
        return unit_scale(x, levels=setting.levels, statistics=setting.statistics)

    return units(model.reconstruct(x)) - units(x)


def _reconstruction(asked: Asked):
    return by_rows(lambda rows: squared(residual(asked.model, rows, asked.setting)), asked.x)


def _blurred_reconstruction(asked: Asked):
    return by_rows(lambda rows: squared(_blurred(residual(asked.model, rows, asked.setting))), asked.x)


def of_images(asked: Asked) -> State | None:
    """Return an empty state where the rows are images of grey levels, else None."""
    return {} if asked.x.ndim == IMAGE_AXES and grey_levels(asked.setting.levels) is not None else None


def squared(residual: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
    """Return the sum of squares over each row."""
    return residual.square().flatten(1).sum(dim=1)


def _blurred(x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
    """Return x blurred by the Gaussian g, channel by channel, with 0 beyond the edges."""
    offsets = torch.arange(-BLUR_REACH, BLUR_REACH + 1, dtype=x.dtype, device=x.device)
    weights = (-0.5 * (offsets / BLUR).square()).exp()
    weights = weights / weights.sum()
    planes = x.flatten(0, 1)[:, None]
    for kernel, padding in ((weights[:, None], (BLUR_REACH, 0)), (weights[None], (0, BLUR_REACH))):
        planes = torch.nn.functional.conv2d(planes, kernel[None, None], padding=padding)
    return planes.view_as(x)


RECONSTRUCTION = Score("reconstruction", lambda model: isinstance(model, Reconstructor), _reconstruction)
BLURRED = Score("blurred", lambda model: isinstance(model, Reconstructor), _blurred_reconstruction, of_images)
