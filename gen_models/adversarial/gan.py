"""The generative adversarial network (Goodfellow et al., 2014) of vectors: two perceptrons."""

from collections.abc import Sequence

from gen_models.adversarial.game import Game
from gen_models.adversarial.gan_losses import GANLosses
from gen_models.adversarial.vectors import vector_critic, vector_generator
from gen_models.layers.data_scale import dimensions


class GAN(Game):
    """E log D(Y) + lambda E log(1 - D(G(Z))), D = sigmoid(critic).

    hidden          the generator's widths
    critic_hidden   the critic's, the same if not given
    n_dis           ascent steps of the critic, each on a fresh batch, for each step of the generator
    weight          lambda
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
        n_dis: int = 1,
        weight: float = 1.0,
        generator_loss: str = "zero_sum",
    ):
        D = dimensions(event_shape)
        super().__init__(
            event_shape,
            levels,
            latent=latent,
            generator=vector_generator(latent, hidden, D, levels),
            critic=vector_critic(D, hidden if critic_hidden is None else critic_hidden),
            losses=GANLosses(weight, generator_loss),
            y_shape=[D],
            n_dis=n_dis,
        )
