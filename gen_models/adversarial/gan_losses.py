"""The losses of the generative adversarial network (Goodfellow et al., 2014), computed from logits r, D = sigmoid(r).

    L = E log D(Y) + lambda E log(1 - D(G(Z)))                (equation 1 at lambda = 1)
    log D = -softplus(-r),   log(1 - D) = -softplus(r)

In this form nothing rounds to log 0, however sure D is. The best D for p and q is p/(p + lambda q), which has
r = log(p/(lambda q)); at lambda = 1 its L is 2 JS(p, q) - log 4 (theorem 1). lambda weighs the error of calling a fake
real (type II) against the error of calling a real row fake (type I).
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
    """The losses of both players of the game L.

    weight          lambda
    generator_loss  zero_sum: theta descends L itself. non_saturating: theta descends -lambda E log D(G(Z)) (section 3),
                    which has the same slope where D = 1/2, and whose slope does not vanish where D is sure of the fakes
    """

    weight: float = 1.0
    generator_loss: str = "zero_sum"
    sign: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require_positive("weight", self.weight)
        require_choice("generator_loss", self.generator_loss, GENERATOR_LOSSES)

    def critic(self, real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> Loss:
        """Return the loss -L and these terms.

        value                           L; above -log 4 at lambda = 1, D tells data and fakes apart
        accuracy_real, accuracy_fake    share of rows on the right side of D = 1/2
        """
        value = -softplus(-real).mean() - self.weight * softplus(fake).mean()
        return Loss(-value, {"value": value, **accuracies(real, fake)})

    def generator(self, fake: Float[Tensor, " fakes"]) -> Loss:
        """Return the part of L that depends on theta, or the non-saturating loss in its place."""
        if self.generator_loss == "zero_sum":
            value = -self.weight * softplus(fake).mean()
        else:
            value = self.weight * softplus(-fake).mean()
        return Loss(value, {"generator": value})


def accuracies(real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> dict[str, Tensor]:
    """Return the share of real rows with an output above 0 and of fakes with one below 0; an output of 0 is wrong."""
    return {"accuracy_real": (real > 0).to(real).mean(), "accuracy_fake": (fake < 0).to(fake).mean()}
