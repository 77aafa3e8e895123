"""The losses of a Wasserstein GAN, and four ways to keep its critic near the 1-Lipschitz functions.

    minimise over G, maximise over T:  E T(Y) - E T(G(Z))   subject to  T 1-Lipschitz

G is the generator, T the critic, Y a real row and G(Z) a fake. By the Kantorovich-Rubinstein duality the maximum is
W1(p, p_G), the Wasserstein distance between the data and the samples (Arjovsky, Chintala and Bottou, 2017). The
constraint can be kept in four ways:

    projection     after each ascent step, the weights A of each layer are changed so that sigma_max(A) <= 1: T is
                   1-Lipschitz, and the critic's value never exceeds W1
    normalisation  the forward pass uses A/sigma_max(A) (Miyato et al., 2018): as projection, up to the error of the
                   power method, which finds sigma_max
    penalty        weight E(|dT/dy| - 1)^2, on lines between real rows and fakes, is added to the critic's loss
                   (Gulrajani et al., 2017): T need not be 1-Lipschitz, and its value may exceed W1
    clipping       every weight is clipped to [-c, c] (Arjovsky et al., 2017): the Lipschitz constant is finite but
                   unknown, so the value is W1 in an unknown unit
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
    """The losses of critic and generator: means of the critic's outputs T. A constant added to T changes nothing."""

    sign: ClassVar[int] = 1

    def critic(self, real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> Loss:
        """Return -W, where W = 1/B sum_i T(y_i) - 1/B sum_i T(G(z_i)) over a batch; W is the term "wasserstein"."""
        wasserstein = real.mean() - fake.mean()
        return Loss(-wasserstein, {"wasserstein": wasserstein})

    def generator(self, fake: Float[Tensor, " fakes"]) -> Loss:
        """Return the loss -1/B sum_i T(G(z_i)) over a batch of B fakes."""
        value = -fake.mean()
        return Loss(value, {"generator": value})


@dataclass(frozen=True)
class GradientPenalty:
    """The penalty weight/B sum_i (|dT/dy (y'_i)| - 1)^2 on the critic's loss (Gulrajani et al., 2017).

    y'_i = e_i y_i + (1 - e_i) G(z_i) lies between a real row and a fake, e_i uniform on [0, 1). The gradient of this
    penalty needs a second derivative of the critic. The term "slope" is the mean of |dT/dy|. If the real rows are one
    point and the fakes another, at distance W, the best critic has slope 1 + W/(2 weight) between them, so its value
    exceeds W. The penalty sees only the size of a slope: a slope of -1 costs nothing either.
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
    """Return the argument `kept_by` of the critic's network (layers/lipschitz.py) for a constraint of CONSTRAINTS."""
    require_choice("constraint", constraint, CONSTRAINTS)
    return constraint if constraint in ("projection", "normalisation") else "nothing"


def pieces(constraint: str, critic: Any, *, penalty: float, clip: float) -> tuple[Penalty | None, Callable[[], None]]:
    """Return (penalty on the critic's loss or None, function to call after each of its steps) for a constraint.

    constraint  one of CONSTRAINTS
    critic      a LipschitzMLP or LipschitzConv
    penalty     weight of the gradient penalty, for the constraint "penalty"
    clip        the largest absolute weight, for the constraint "clipping"
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

    widths  {configuration key: width} of the critic's layers

    Raises ConfigError for another name. For maxmin, which sorts pairs of units, also raises it if a width is odd.
    """
    require_choice("activation", name, ACTIVATIONS)
    for key, width in widths.items():
        if name == "maxmin" and width % 2:
            raise ConfigError(f"{key} = {width} cannot be used: maxmin sorts pairs, give an even one")
    return ACTIVATIONS[name]
