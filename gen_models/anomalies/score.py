"""An anomaly score is a function of a model and a row; some scores are also fitted to training rows.

A larger score always means more anomalous. Up to rounding, the score of a row does not depend on the other rows of
the batch, nor on the batch's size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from gen_models.layers.levels import Levels
from gen_models.noise import Noise

State = Mapping[str, Tensor]  # what a score keeps of the training rows, such as a mean; {} if nothing
NOISE = Noise(seed=0)


@dataclass(frozen=True)
class Setting:
    """Facts about the data, and random numbers, that scores need besides model and rows.

    levels, statistics  from the data's manifest; they define the unit scale (measures/units.py)
    noise               random numbers; all rows share the same draws
    """

    levels: Levels = None
    statistics: Mapping[str, Any] | None = None
    noise: Noise = NOISE


class Asked(NamedTuple):
    """The arguments of a score.

    x        rows in the data's units
    found    {name: values} of the scores of these rows that were computed before
    state    what the score keeps of the training rows
    passes   results of the model for these rows that several scores use, such as latents; scores add to it
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

    offered  function of a model: whether its capabilities allow the score
    values   function of the arguments: the score of each row, (batch,)
    fit      function of the arguments with the training rows as x: the score's state, or None if the score does not
             apply to such data; a score without `fit` needs no training rows
    needs    names of scores that must be computed before this one; those that the model does not offer are left out
    """

    name: str
    offered: Callable[[Any], bool]
    values: Callable[[Asked], Float[Tensor, " batch"]]
    fit: Callable[[Asked], State | None] | None = None
    needs: tuple[str, ...] = ()
