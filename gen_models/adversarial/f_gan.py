"""The f-GAN (Nowozin, Cseke and Tomioka, 2016): an f-divergence descended through its variational bound.

    D_f(p||q) >= E_p T - E_q f*(T),   T = rho(critic),   equality at T* = f'(p/q)

forward has p the data and q = p_G, reverse the other way round: E_q T - E_p f*(T) bounds D_f(q||p). Reversed KL is
reverse KL; Jensen-Shannon is the standard game, whose L is its bound less log 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gen_models.adversarial.divergences import DIVERGENCES
from gen_models.adversarial.game import Game
from gen_models.adversarial.gan_losses import GENERATOR_LOSSES, accuracies
from gen_models.adversarial.vectors import vector_critic, vector_generator
from gen_models.contracts import Loss
from gen_models.layers.arguments import require_choice
from gen_models.layers.data_scale import dimensions

DIRECTIONS = ("forward", "reverse")


@dataclass(frozen=True)
class VariationalLosses:
    """The bound and its two players; r are the critic's outputs before rho.

    generator_loss  zero_sum: theta descends the bound. non_saturating: it ascends the term that the critic gives to
                    reals, -E T(G(Z)) forward (the paper's section 3.2), as both rise with how real a fake looks
    """

    divergence: str = "kl"
    direction: str = "forward"
    generator_loss: str = "zero_sum"

    def __post_init__(self) -> None:
        require_choice("divergence", self.divergence, DIVERGENCES)
        require_choice("direction", self.direction, DIRECTIONS)
        require_choice("generator_loss", self.generator_loss, GENERATOR_LOSSES)

    @property
    def sign(self) -> int:
        """Of r as a measure of how real a row is: rho may fall, and T* = f'(q/p) of the reverse direction does."""
        return DIVERGENCES[self.divergence].direction * (1 if self.direction == "forward" else -1)

    def critic(self, real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> Loss:
        """-(E_p T - E_q f*(T)).

        divergence                      what is inside: a lower bound on D_f, but for the noise of the batch
        accuracy_real, accuracy_fake    share of rows on the right side of T = f'(1), where p = q
        """
        d = DIVERGENCES[self.divergence]
        first, second = (real, fake) if self.direction == "forward" else (fake, real)
        bound = d.rho(first).mean() - d.conjugate_of_rho(second).mean()
        turn = 1 if self.direction == "forward" else -1
        shares = accuracies(turn * (d.rho(real) - d.at_one), turn * (d.rho(fake) - d.at_one))
        return Loss(-bound, {"divergence": bound, **shares})

    def generator(self, fake: Float[Tensor, " fakes"]) -> Loss:
        """The part of the bound that depends on theta, or its alternative."""
        d = DIVERGENCES[self.divergence]
        if (self.direction == "forward") == (self.generator_loss == "zero_sum"):
            value = d.conjugate_of_rho(fake).mean()
        else:
            value = d.rho(fake).mean()
        if self.direction == "forward":
            value = -value
        return Loss(value, {"generator": value})


class FGAN(Game):
    """D_f between data and samples, of vectors.

    divergence      kl, reverse_kl, squared_hellinger, js, pearson or total_variation
    direction       forward: D_f(p_data||p_G); reverse: D_f(p_G||p_data)
    hidden          the generator's widths
    critic_hidden   the critic's, the same if not given
    activation      of both: silu is smooth, relu makes sharper edges
    n_dis           ascent steps of the critic, each on a fresh batch, for each step of the generator
    generator_loss  zero_sum, or non_saturating
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        *,
        latent: int,
        hidden: Sequence[int],
        critic_hidden: Sequence[int] | None = None,
        activation: str = "silu",
        n_dis: int = 1,
        divergence: str = "kl",
        direction: str = "forward",
        generator_loss: str = "zero_sum",
    ):
        D = dimensions(event_shape)
        super().__init__(
            event_shape,
            levels,
            latent=latent,
            generator=vector_generator(latent, hidden, D, levels, activation),
            critic=vector_critic(D, hidden if critic_hidden is None else critic_hidden, activation),
            losses=VariationalLosses(divergence, direction, generator_loss),
            y_shape=[D],
            n_dis=n_dis,
        )
