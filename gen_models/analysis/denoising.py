"""Denoisers: models trained to recover a row that was corrupted (Vincent et al., 2010).

Every autoencoder has `denoise`; it is a denoiser only if it was trained to undo a corruption.
"""

import copy
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from gen_models.noise import Noise

NONE = "none"
SHARES = ("masking", "salt_and_pepper")  # their level is the probability with which a number is corrupted, at most 1


@runtime_checkable
class Denoiser(Protocol):
    """A model that corrupts and denoises rows, both in the data's units.

    corruption        the kind of corruption that training undoes; "none" if it undoes none
    corruption_level  how strong the corruption is, see autoencoders/corruption.py
    """

    corruption: str
    corruption_level: float

    def corrupt(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]: ...

    def denoise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]: ...


def is_denoiser(model: object) -> bool:
    """Return whether the model was trained to undo a corruption."""
    return isinstance(model, Denoiser) and model.corruption != NONE


def at_level(model: Any, factor: float) -> Denoiser:
    """Return a copy of a denoiser that shares its weights and has `factor` times its corruption level.

    A level that is a probability stays at most 1.
    """
    other = copy.copy(model)
    level = factor * model.corruption_level
    other.corruption_level = min(level, 1.0) if model.corruption in SHARES else level
    return other
