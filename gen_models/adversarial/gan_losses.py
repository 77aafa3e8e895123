"""The losses of the generative adversarial network (Goodfellow et al., 2014), of logits r, D = sigmoid(r).

    L = E log D(Y) + lambda E log(1 - D(G(Z)))                (equation 1 at lambda = 1)
    log D = -softplus(-r),   log(1 - D) = -softplus(r)

so nothing rounds to log 0, however sure D is. The best D at p and q is p/(p + lambda q), r = log(p/(lambda q)); at
lambda = 1 its L is 2 JS(p, q) - log 4 (theorem 1). lambda weighs calling a fake real (type II) against calling a
real row fake (type I).
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from gen_models.contracts import Loss
from gen_models.layers.arguments import require_choice, require_positive

GENERATOR_LOSSES = ("zero_sum", "non_saturating")


@dataclass(frozen=True)
class GANLosses:
    """weight = lambda; generator_loss = zero_sum: theta descends L itself,

    or non_saturating: -lambda E log D(G(Z)) (section 3), the same slope where D = 1/2 and one that does not vanish
    where D is sure of the fakes.
    """

    weight: float = 1.0
    generator_loss: str = "zero_sum"
    sign: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require_positive("weight", self.weight)
        require_choice("generator_loss", self.generator_loss, GENERATOR_LOSSES)

    def critic(self, real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> Loss:
        """-L.

        value                           L: above -log 4 at lambda = 1, D tells the two apart
        accuracy_real, accuracy_fake    share of rows on the right side of D = 1/2
        """
        value = -softplus(-real).mean() - self.weight * softplus(fake).mean()
        return Loss(-value, {"value": value, **accuracies(real, fake)})

    def generator(self, fake: Float[Tensor, " fakes"]) -> Loss:
        """The part of L that depends on theta, or its alternative."""
        if self.generator_loss == "zero_sum":
            value = -self.weight * softplus(fake).mean()
        else:
            value = self.weight * softplus(-fake).mean()
        return Loss(value, {"generator": value})


def accuracies(real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> dict[str, Tensor]:
    """The shares of real rows with an output above 0 and of fakes below it; a row at 0 is right for neither."""
    return {"accuracy_real": (real > 0).to(real).mean(), "accuracy_fake": (fake < 0).to(fake).mean()}
