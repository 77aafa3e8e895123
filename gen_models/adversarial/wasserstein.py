"""The Wasserstein game: its losses, and four ways to keep the critic near the 1-Lipschitz functions.

    minimise over G, maximise over T:  E T(Y) - E T(G(Z))   subject to  T 1-Lipschitz

By the Kantorovich-Rubinstein duality the maximum is W1(p, p_G) (Arjovsky, Chintala and Bottou, 2017). The constraint
can be kept in four ways:

    projection     sigma_max(A_l) <= 1 after each ascent step: T is 1-Lipschitz and its value never exceeds W1
    normalisation  W/sigma_max(W) in the forward pass (Miyato et al., 2018): the same, up to the power method's error
    penalty        weight E(|dT/dy| - 1)^2 on lines between reals and fakes (Gulrajani et al., 2017): gives no bound
    clipping       every weight within [-c, c] (Arjovsky et al., 2017): the Lipschitz constant is finite but unknown,
                   so the value is W1 in an unknown unit
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.adversarial.game import Penalty
from gen_models.contracts import Loss, nothing
from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_choice, require_positive
from gen_models.layers.lipschitz import MaxMin
from gen_models.layers.spectral_norm import follow
from gen_models.noise import Noise

CONSTRAINTS = ("projection", "normalisation", "penalty", "clipping")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"maxmin": MaxMin, "relu": nn.ReLU}


@dataclass(frozen=True)
class WassersteinLosses:
    """The losses of both players: means of the critic's outputs. T is defined up to a constant."""

    sign: ClassVar[int] = 1

    def critic(self, real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> Loss:
        """Return -W, where W = 1/B sum_i T(y_i) - 1/B sum_i T(G(z_i)) is also the term "wasserstein"."""
        wasserstein = real.mean() - fake.mean()
        return Loss(-wasserstein, {"wasserstein": wasserstein})

    def generator(self, fake: Float[Tensor, " fakes"]) -> Loss:
        """Return the loss -1/B sum_i T(G(z_i))."""
        value = -fake.mean()
        return Loss(value, {"generator": value})


@dataclass(frozen=True)
class GradientPenalty:
    """weight/B sum_i (|dT/dy (y'_i)| - 1)^2, y'_i = e_i y_i + (1 - e_i) G(z_i), e_i uniform (Gulrajani et al., 2017).

    The gradient of this penalty needs a second derivative of the critic. The term "slope" is the mean of |dT/dy|. For
    two points at distance W the best critic has slope 1 + W/(2 weight), so its value exceeds W; a slope of -1 costs
    nothing either.
    """

    weight: float = 10.0

    def __post_init__(self) -> None:
        require_positive("penalty", self.weight)

    def __call__(
        self, critic: nn.Module, y: Float[Tensor, "rows *y"], fakes: Float[Tensor, "rows *y"], noise: Noise
    ) -> Loss:
        e = noise.uniform("critic.between", (len(y), *[1] * (y.ndim - 1)), like=y)
        between = (e * y + (1 - e) * fakes).detach().requires_grad_()
        with torch.enable_grad():  # the penalty is also reported during evaluation, where gradients are off
            (gradients,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        slopes = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
        penalty = self.weight * (slopes - 1).square().mean()
        return Loss(penalty, {"penalty": penalty, "slope": slopes.mean()})


@torch.no_grad()
def clip_weights(network: nn.Module, limit: float) -> None:
    """Clamp every parameter to [-limit, limit], in place."""
    for parameter in network.parameters():
        parameter.clamp_(-limit, limit)


def kept_by(constraint: str) -> str:
    """Return the `kept_by` argument of the critic's layers (layers/lipschitz.py) for a constraint of the game."""
    require_choice("constraint", constraint, CONSTRAINTS)
    return constraint if constraint in ("projection", "normalisation") else "nothing"


def pieces(constraint: str, critic: Any, *, penalty: float, clip: float) -> tuple[Penalty | None, Callable[[], None]]:
    """Return (penalty on the critic's loss or None, function to call after its step) for a constraint of the game.

    critic  a Lipschitz network: LipschitzMLP or LipschitzConv
    """
    require_positive("penalty", penalty)
    require_positive("clip", clip)
    if constraint == "projection":
        return None, critic.project
    if constraint == "normalisation":
        return None, partial(follow, critic)
    if constraint == "penalty":
        return GradientPenalty(penalty), nothing
    return None, partial(clip_weights, critic, clip)


def critic_activation(name: str, widths: Mapping[str, int]) -> Callable[[], nn.Module]:
    """Return the activation called `name`, maxmin or relu.

    widths  {configuration key: width}. Raises ConfigError, naming the key, for an odd width with maxmin, which sorts
            pairs
    """
    require_choice("activation", name, ACTIVATIONS)
    for key, width in widths.items():
        if name == "maxmin" and width % 2:
            raise ConfigError(f"{key} = {width} cannot be used: maxmin sorts pairs, give an even one")
    return ACTIVATIONS[name]
