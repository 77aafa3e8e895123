"""What an anomaly score is: a function of a row, of what the model offers and, for some, of the training rows.

A larger score always means more anomalous. The score of a row is a function of that row alone, not of its neighbours in
the batch or of the batch's size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from gen_models.layers.levels import Levels
from gen_models.noise import Noise

State = Mapping[str, Tensor]  # what a score keeps of the training rows
NOISE = Noise(seed=0)


@dataclass(frozen=True)
class Setting:
    """What scores need besides the model.

    levels, statistics: from the data's manifest, they define the unit scale; noise: all rows share its draws
    """

    levels: Levels = None
    statistics: Mapping[str, Any] | None = None
    noise: Noise = NOISE


class Asked(NamedTuple):
    """The arguments of a score: rows x in the data's units, the scores `found` before that it needs, its fitted state.

    passes: what the model has answered for these rows and several scores use, such as latents; a score adds to it
    """

    model: Any
    x: Float[Tensor, "batch *event"]
    found: Mapping[str, Tensor]
    state: State
    setting: Setting
    passes: dict[str, Tensor]


@dataclass(frozen=True)
class Score:
    """An anomaly score.

    offered  whether a model's capabilities allow it
    values   the score of each row, (batch,)
    fit      (arguments with the training rows as x) -> its state, or None where the score does not apply to such data;
             a score without `fit` needs no training rows
    needs    names of scores that are found before it; those that the model does not offer are left out
    """

    name: str
    offered: Callable[[Any], bool]
    values: Callable[[Asked], Float[Tensor, " batch"]]
    fit: Callable[[Asked], State | None] | None = None
    needs: tuple[str, ...] = ()
