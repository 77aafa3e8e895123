"""The Wasserstein GAN with a spectrally normalised critic, trained as a projected game.

    minimise over G, maximise over T:  E T(Y) - E T(G(Z))   subject to  sigma_max(A_l) <= 1 for T's layers

By the Kantorovich-Rubinstein duality the maximum over all 1-Lipschitz T is W1(p, p_G) (Arjovsky, Chintala and Bottou,
2017). Constraining each layer is sufficient for T to be 1-Lipschitz (Miyato et al., 2018). A projection after each
ascent step enforces the constraint, so the critic's value never exceeds W1 of the same finite samples.
"""

from collections.abc import Sequence

from gen_models.adversarial.wgan import WGAN
from gen_models.layers.levels import Levels


class SNWGAN(WGAN):
    """A WGAN whose constraint is the projection.

    hidden         the widths of the generator's hidden layers
    critic_hidden  the critic's widths; the generator's if not given
    n_dis          ascent steps of the critic, each on a fresh batch, for each step of the generator
    activation     of the critic: maxmin preserves gradient norms, relu is what the first papers used
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        latent: int,
        hidden: Sequence[int],
        critic_hidden: Sequence[int] | None = None,
        n_dis: int = 1,
        activation: str = "maxmin",
    ):
        super().__init__(
            event_shape,
            levels,
            latent=latent,
            hidden=hidden,
            critic_hidden=critic_hidden,
            n_dis=n_dis,
            activation=activation,
            constraint="projection",
        )
