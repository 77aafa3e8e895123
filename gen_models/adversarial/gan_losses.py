"""The losses of the generative adversarial network (Goodfellow et al., 2014), computed from the critic's logits r.

    L = E log D(Y) + lambda E log(1 - D(G(Z))),   D = sigmoid(r)                (equation 1 at lambda = 1)
    log D = -softplus(-r),   log(1 - D) = -softplus(r)

Y is a real row and G(Z) a fake. With softplus nothing rounds to log 0, however sure D is. If p and q are the densities
of real rows and fakes, the best D is p/(p + lambda q), with logit r = log(p/(lambda q)); at lambda = 1 its L is
2 JS(p, q) - log 4 (theorem 1). lambda weighs the error of calling a fake real (type II) against the error of calling a
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
    """The losses of critic and generator: the critic ascends L, the generator descends it or a loss in its place.

    weight          lambda
    generator_loss  zero_sum: the generator descends L itself. non_saturating: it descends -lambda E log D(G(Z)) (the
                    paper's section 3), whose slope in r is the same where D = 1/2, and does not vanish where D is sure
                    that fakes are fake
    """

    weight: float = 1.0
    generator_loss: str = "zero_sum"
    sign: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require_positive("weight", self.weight)
        require_choice("generator_loss", self.generator_loss, GENERATOR_LOSSES)

    def critic(self, real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> Loss:
        """Return the critic's loss, -L, from its logits r on real rows and on fakes, with these terms.

        value                           L; at lambda = 1, D tells data and fakes apart if L is above -log 4
        accuracy_real                   fraction of the real rows with D > 1/2
        accuracy_fake                   fraction of the fakes with D < 1/2
        """
        value = -softplus(-real).mean() - self.weight * softplus(fake).mean()
        return Loss(-value, {"value": value, **accuracies(real, fake)})

    def generator(self, fake: Float[Tensor, " fakes"]) -> Loss:
        """Return the generator's loss, from the critic's logits r on fakes: zero-sum or non-saturating.

        The zero-sum loss is the part of L that depends on the generator.
        """
        if self.generator_loss == "zero_sum":
            value = -self.weight * softplus(fake).mean()
        else:
            value = self.weight * softplus(-fake).mean()
        return Loss(value, {"generator": value})


def accuracies(real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> dict[str, Tensor]:
    """Return the fraction of real rows with an output above 0, and of fakes with an output below 0.

    real, fake  outputs of a critic that should be above 0 for real rows and below 0 for fakes; 0 itself counts as wrong
    """
    return {"accuracy_real": (real > 0).to(real).mean(), "accuracy_fake": (fake < 0).to(fake).mean()}
