"""Plays games of two numbers with the engine, and compares each order of play with what linear algebra predicts.

    minimise over x, maximise over y:  a/2 x^2 + c x y - b/2 y^2,   equilibrium (0, 0)

One player moves the number x, the other the number y; a, b and c are constants. Each order of play plays the same game
from the same start, with one learning rate alpha for both players. A step is a linear map. After many steps, each step
multiplies the distance to the equilibrium by the map's spectral radius (gen_models/analysis/toy_games.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from gen_models.adversarial.optimistic import OptimisticSGD
from gen_models.analysis.toy_games import BilinearGame, QuadraticGame, contraction
from gen_models.engine import Training, fit
from gen_models.noise import Noise

RATE = 0.2  # alpha, for both players
CURVATURE = 0.3  # a = b in the game with curvature: enough for simultaneous play to converge at this rate
STEPS = 300  # minibatches: ten turns around the equilibrium of the bilinear game
N_DIS = 5
ORDERS = ("simultaneous", "alternating", "multi-ascent", "optimistic", "extragradient")
CIRCLES = 1e-9  # a spectral radius this near to 1 counts as 1


@dataclass(frozen=True)
class Play:
    """A game played in one order.

    points: (x, y) before the first step and after each step, (steps + 1, 2)
    predicted: the factor by which a step changes the distance to the equilibrium, from linear algebra
    """

    order: str
    points: np.ndarray
    predicted: float

    @property
    def distances(self) -> np.ndarray:
        """The distances (steps + 1,) to the equilibrium."""
        return np.hypot(*self.points.T)

    @property
    def measured(self) -> float:
        """The factor by which a step changes the distance, measured between two points of the play.

        The points are those with the largest distance in the first half and in the second. The distance also varies
        within a turn of the orbit. The largest distance is always where the orbit is widest, so this variation cancels.
        """
        half = len(self.points) // 2
        first, second = self.distances[:half].argmax(), half + self.distances[half:].argmax()
        return float((self.distances[second] / self.distances[first]) ** (1 / (second - first)))

    @property
    def outcome(self) -> str:
        """What the order of play does in the long run: "converges", "circles" or "diverges"."""
        if abs(self.predicted - 1) < CIRCLES:
            return "circles"
        return "converges" if self.predicted < 1 else "diverges"


@dataclass(frozen=True)
class Toy:
    """A game, played in each order.

    name: the name of its picture's file, without the ending; equation: what x minimises and y maximises
    """

    name: str
    title: str
    equation: str
    plays: tuple[Play, ...]


def multi_ascent(game: Callable[..., QuadraticGame]) -> Play:
    """Play multi-ascent: y ascends on each minibatch, and x descends on each N_DIS-th."""
    played = game(n_dis=N_DIS)
    return Play("multi-ascent", _points(played, "alternating"), contraction(played, "alternating", RATE) ** (1 / N_DIS))


def play(game: Callable[..., QuadraticGame], order: str) -> Play:
    """Play a game in one of ORDERS. Optimistic play is simultaneous play with optimistic optimisers."""
    if order == "multi-ascent":
        return multi_ascent(game)
    return Play(order, _points(game(), order), contraction(game(), order, RATE))


@cache
def toys() -> tuple[Toy, ...]:
    """Return the two games of the page, played in each order."""

    def quadratic(n_dis: int = 1) -> QuadraticGame:
        return QuadraticGame(a=CURVATURE, b=CURVATURE, n_dis=n_dis)

    return (
        Toy("bilinear", "The bilinear game", "x y", _all_of(BilinearGame)),
        Toy(
            "quadratic", "A convex-concave game", f"{CURVATURE / 2:g} (x² \N{MINUS SIGN} y²) + x y", _all_of(quadratic)
        ),
    )


def _all_of(game: Callable[..., QuadraticGame]) -> tuple[Play, ...]:
    return tuple(play(game, order) for order in ORDERS)


def _points(game: QuadraticGame, order: str) -> np.ndarray:
    optimiser = OptimisticSGD if order == "optimistic" else torch.optim.SGD
    training = Training(game, {o.name: optimiser(o.module.parameters(), lr=RATE) for o in game.objectives()})
    points = [game.point()]
    engine_order = "simultaneous" if order == "optimistic" else order
    for _ in fit(training, _NoBatches(), Noise(0), steps=STEPS, report_every=1, order=engine_order):
        points.append(game.point())
    return np.array(points)


class _NoBatches:
    """Stands for the minibatches, since a game of two numbers has no data."""

    def at(self, step: int) -> torch.Tensor:
        return torch.zeros(1)
