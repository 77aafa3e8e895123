"""Denoisers: models trained to give back a row that was corrupted (Vincent et al., 2010).

An autoencoder has `denoise` whatever it was trained for; it is a denoiser only if its training undid a corruption.
"""

import copy
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from gen_models.noise import Noise

NONE = "none"
SHARES = ("masking", "salt_and_pepper")  # whose level is the share of numbers that are hit, at most 1


@runtime_checkable
class Denoiser(Protocol):
    """corruption: what training undoes, "none" for nothing; corruption_level: how much of it. Rows are as stored."""

    corruption: str
    corruption_level: float

    def corrupt(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]: ...

    def denoise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]: ...


def is_denoiser(model: object) -> bool:
    """Whether the model was trained to undo a corruption."""
    return isinstance(model, Denoiser) and model.corruption != NONE


def at_level(model: Any, factor: float) -> Denoiser:
    """The same denoiser, weights shared, that corrupts `factor` times as much as in training; a share stays <= 1."""
    other = copy.copy(model)
    level = factor * model.corruption_level
    other.corruption_level = min(level, 1.0) if model.corruption in SHARES else level
    return other
