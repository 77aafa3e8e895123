"""Games between two numbers x and y, for which it is known which orders of play converge, rotate or diverge.

    minimise over x, maximise over y:  L(x, y) = a/2 x^2 + c x y - b/2 y^2

The game is bilinear at a = b = 0 and strongly convex-concave at a, b > 0; the solution is (0, 0). In every order of
play (gen_models/engine.py) a step is a linear map, so in the long run each step multiplies the distance from the
solution by the spectral radius of this map, which `contraction` computes. For the bilinear game with c = 1, with
learning rate alpha for both players, the spectral radius is:

    simultaneous    sqrt(1 + alpha^2) > 1: spirals out
    alternating     1: conserves x^2 + y^2 + alpha x y where y moves first (a closed orbit while alpha < 2)
    extragradient   sqrt(1 - alpha^2 + alpha^4) < 1 for alpha < 1 (Korpelevich, 1976)
    optimistic      the largest absolute value of a root of z^2 - (1 - 2 i alpha) z - i alpha: below 1 for
                    alpha < 1/sqrt(3) (Daskalakis et al., 2018)

If a = b = mu, simultaneous play has the spectral radius sqrt((1 - alpha mu)^2 + (alpha c)^2), which is below 1 for
alpha < 2 mu/(mu^2 + c^2).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Loss, Objective
from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_choice, require_positive, require_whole
from gen_models.noise import Noise

ORDERS = ("simultaneous", "alternating", "extragradient", "optimistic")


class Player(nn.Module):
    """A player of the game: one number, which is its only parameter."""

    def __init__(self, value: float):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value), dtype=torch.float64))


class QuadraticGame(nn.Module):
    """The game with curvatures a, b >= 0 and coupling c, started at `start` = (x, y), in float64.

    noise_std  standard deviation of normal noise that is added to each gradient g, so that E g = grad L
    n_dis      ascents of y for each descent of x
    """

    def __init__(
        self,
        *,
        a: float = 1.0,
        b: float = 1.0,
        c: float = 1.0,
        start: tuple[float, float] | list[float] = (1.0, 0.5),
        noise_std: float = 0.0,
        n_dis: int = 1,
    ):
        super().__init__()
        for key, value in (("a", a), ("b", b), ("noise_std", noise_std)):
            if not value >= 0:
                raise ConfigError(f"{key} = {value!r} cannot be used: give a number of at least 0")
        require_whole("n_dis", n_dis)
        if len(start) != 2:
            raise ConfigError(f"start = {start!r} cannot be used: give two numbers, x and y")
        self.a, self.b, self.c = a, b, c
        self.noise_std = noise_std
        self.n_dis = n_dis
        self.x, self.y = Player(start[0]), Player(start[1])

    def objectives(self) -> tuple[Objective, ...]:
        """Return the objective of y, which ascends L, then the objective of x, which descends L."""
        return (
            Objective("ascent", self.y, lambda batch, noise: self._loss("ascent", noise)),
            Objective("descent", self.x, lambda batch, noise: self._loss("descent", noise), every=self.n_dis),
        )

    def value(self) -> Float[Tensor, ""]:
        """Return L(x, y)."""
        x, y = self.x.value, self.y.value
        return self.a / 2 * x.square() + self.c * x * y - self.b / 2 * y.square()

    def point(self) -> tuple[float, float]:
        """Return (x, y)."""
        return self.x.value.item(), self.y.value.item()

    def _loss(self, player: str, noise: Noise) -> Loss:
        """Return L for the descent or -L for the ascent, plus a linear term whose slope is the gradient's noise."""
        own, sign = (self.y.value, -1) if player == "ascent" else (self.x.value, 1)
        value = self.value()
        slope = self.noise_std * noise.normal(f"{player}.gradient", (1,), like=own).mean()
        return Loss(sign * value + slope * own, {"value": value, "distance": self._distance()})

    def _distance(self) -> Float[Tensor, ""]:
        """Return the distance from the solution, (0, 0)."""
        return torch.hypot(self.x.value, self.y.value)


class BilinearGame(QuadraticGame):
    """The game L(x, y) = c x y."""

    def __init__(
        self,
        *,
        c: float = 1.0,
        start: tuple[float, float] | list[float] = (1.0, 0.5),
        noise_std: float = 0.0,
        n_dis: int = 1,
    ):
        super().__init__(a=0.0, b=0.0, c=c, start=start, noise_std=noise_std, n_dis=n_dis)


def contraction(game: QuadraticGame, order: str, rate: float) -> float:
    """Return the spectral radius of one step of the game without noise; both players use the learning rate `rate`.

    Play converges if the radius is below 1, circles at 1 and diverges above 1. One step is `game.n_dis` ascents, then
    one descent. Raises ConfigError for an unknown order, for a rate that is not above 0, or if n_dis > 1 in an order
    other than alternating.
    """
    require_choice("order", order, ORDERS)
    require_positive("rate", rate)
    if game.n_dis > 1 and order != "alternating":
        raise ConfigError(f"n_dis = {game.n_dis} cannot be used: only alternating play has a map here; give 1")
    return torch.linalg.eigvals(step_of(game, order, rate)).abs().max().item()


def step_of(game: QuadraticGame, order: str, rate: float) -> Float[Tensor, "memory memory"]:
    """Return the matrix M of one step of the game without noise: a step maps the state s to M s.

    The state is (x, y). In optimistic play it is (x, y) followed by the (x, y) of one step before, and M is 4 by 4.
    """
    identity = torch.eye(2, dtype=torch.float64)
    F = torch.tensor([[game.a, game.c], [-game.c, game.b]], dtype=torch.float64)  # w <- w - rate F w
    if order == "simultaneous":
        return identity - rate * F
    if order == "extragradient":
        return identity - rate * F @ (identity - rate * F)
    if order == "optimistic":
        return torch.cat([torch.cat([identity - 2 * rate * F, rate * F], 1), torch.cat([identity, 0 * F], 1)])
    ascent, descent = identity.clone(), identity.clone()
    ascent[1] -= rate * F[1]
    descent[0] -= rate * F[0]
    return descent @ torch.linalg.matrix_power(ascent, game.n_dis)
