"""The generative adversarial network (Goodfellow et al., 2014) for vectors: two perceptrons."""

from collections.abc import Sequence

from gen_models.adversarial.game import Game
from gen_models.adversarial.gan_losses import GANLosses
from gen_models.adversarial.vectors import vector_critic, vector_generator
from gen_models.adversarial.zero_penalty import ZeroPenalty
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels


class GAN(Game):
    """A GAN of vectors: the critic ascends E log D(Y) + lambda E log(1 - D(G(Z))), where D = sigmoid(critic).

    Y is a real row and G(Z) a fake, the generator's output for Z ~ N(0, I).

    latent          how many numbers Z has
    hidden          the widths of the generator's hidden layers
    critic_hidden   the widths of the critic's hidden layers; if not given, those of the generator
    activation      of both networks: silu is smooth, relu makes sharper edges
    n_dis           ascent steps of the critic, each on a fresh batch, for each step of the generator
    weight          lambda
    generator_loss  zero_sum: the generator descends what the critic ascends; non_saturating: see GANLosses
    penalty         weight of the penalty on the critic's squared gradients, see zero_penalty.py; null: no penalty
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
        weight: float = 1.0,
        generator_loss: str = "zero_sum",
        penalty: float | None = None,
    ):
        D = dimensions(event_shape)
        super().__init__(
            event_shape,
            levels,
            latent=latent,
            generator=vector_generator(latent, hidden, D, levels, activation),
            critic=vector_critic(D, hidden if critic_hidden is None else critic_hidden, activation),
            losses=GANLosses(weight, generator_loss),
            y_shape=[D],
            n_dis=n_dis,
            penalty=None if penalty is None else ZeroPenalty(penalty),
        )
