"""The f-GAN (Nowozin, Cseke and Tomioka, 2016): the generator descends a variational bound on an f-divergence.

    D_f(p||q) >= E_p T - E_q f*(T),   T = rho(critic),   equality at T* = f'(p/q)

p_data is the density of the data, p_G that of the generator's samples. In the forward direction p = p_data and q = p_G;
in the reverse direction p = p_G and q = p_data. KL in the reverse direction is reverse KL. With Jensen-Shannon, the
bound minus log 4 is the loss of the original GAN (gan_losses.py).
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
from gen_models.layers.levels import Levels

DIRECTIONS = ("forward", "reverse")


@dataclass(frozen=True)
class VariationalLosses:
    """The losses of critic and generator, computed from the critic's outputs r, where T = rho(r).

    divergence      a key of DIVERGENCES
    direction       forward: D_f(p_data||p_G); reverse: D_f(p_G||p_data)
    generator_loss  zero_sum: the generator descends the bound. non_saturating: the generator ascends, on its fakes, the
                    term that the bound applies to real rows; in the forward direction its loss is -E T(G(Z)) (the
                    paper's section 3.2). Both losses fall as fakes look more real
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
        """Return 1 if a larger r means that a row looks more real, else -1.

        It is the product of two signs: -1 if rho decreases, and -1 in the reverse direction, where the best T is
        f'(p_G/p_data), which falls as a row looks more real.
        """
        return DIVERGENCES[self.divergence].direction * (1 if self.direction == "forward" else -1)

    def critic(self, real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> Loss:
        """Return the critic's loss -(E_p T - E_q f*(T)), from its outputs r on real rows and fakes, with these terms.

        divergence                      the bound E_p T - E_q f*(T): a lower bound on D_f, up to the batch's noise
        accuracy_real, accuracy_fake    fraction of the real rows, or of the fakes, for which T lies on the right side
                                        of f'(1), the value of the best T where p = q
        """
        d = DIVERGENCES[self.divergence]
        first, second = (real, fake) if self.direction == "forward" else (fake, real)
        bound = d.rho(first).mean() - d.conjugate_of_rho(second).mean()
        turn = 1 if self.direction == "forward" else -1
        shares = accuracies(turn * (d.rho(real) - d.at_one), turn * (d.rho(fake) - d.at_one))
        return Loss(-bound, {"divergence": bound, **shares})

    def generator(self, fake: Float[Tensor, " fakes"]) -> Loss:
        """Return the generator's loss, from the critic's outputs r on fakes: zero-sum or non-saturating.

        The zero-sum loss is the part of the bound that depends on the generator.
        """
        d = DIVERGENCES[self.divergence]
        if (self.direction == "forward") == (self.generator_loss == "zero_sum"):
            value = d.conjugate_of_rho(fake).mean()
        else:
            value = d.rho(fake).mean()
        if self.direction == "forward":
            value = -value
        return Loss(value, {"generator": value})


class FGAN(Game):
    """A GAN of vectors whose generator is trained to minimise D_f between data and samples.

    divergence      kl, reverse_kl, squared_hellinger, js, pearson or total_variation
    direction       forward: D_f(p_data||p_G); reverse: D_f(p_G||p_data)
    latent          how many numbers the generator takes
    hidden          the widths of the generator's hidden layers
    critic_hidden   the widths of the critic's hidden layers; if not given, those of the generator
    activation      of both networks: silu is smooth, relu makes sharper edges
    n_dis           ascent steps of the critic, each on a fresh batch, for each step of the generator
    generator_loss  zero_sum or non_saturating, see VariationalLosses
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
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
