"""The score `inversion` of a GAN, which has neither likelihood nor encoder: min_z |G(z) - y|, in network units.

G is the generator and y the row. Each row needs a search for z (analysis/inversion.py), so this score is not among
those of scores.py, and is computed for few rows only.
"""

from collections.abc import Callable

from torch import Tensor

from gen_models.adversarial.game import Game
from gen_models.analysis.inversion import invert
from gen_models.anomalies.score import NOISE
from gen_models.anomalies.scores import checked
from gen_models.evaluating import by_rows, evaluating
from gen_models.noise import Noise

SEARCH_ROWS = 256  # rows whose searches go through a generator at once, each with all of its starts


def inversion(model: Game, *, noise: Noise = NOISE, starts: int = 4, steps: int = 100) -> Callable[[Tensor], Tensor]:
    """Return the score as a function from rows, in the data's units, to a number for each row.

    For each row it searches the nearest sample of the model, from `starts` starts with `steps` steps each.
    """

    def distance(x: Tensor) -> Tensor:
        with evaluating(model):
            found = by_rows(
                lambda rows: invert(model, rows, noise, starts=starts, steps=steps).distance, x, SEARCH_ROWS
            )
        return checked("inversion", found)

    return distance
