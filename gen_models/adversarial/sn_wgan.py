"""The Wasserstein GAN whose critic's weight matrices are projected after each step to spectral norm at most 1.

    minimise over G, maximise over T:  E T(Y) - E T(G(Z))   subject to  sigma_max(A_l) <= 1 for each layer l of T

G is the generator, T the critic, Y a real row, G(Z) a fake and A_l the weight matrix of a layer. By the
Kantorovich-Rubinstein duality the maximum over all 1-Lipschitz T is W1(p, p_G), the Wasserstein distance between the
data and the samples (Arjovsky, Chintala and Bottou, 2017). If each layer obeys the constraint, T is 1-Lipschitz (Miyato
et al., 2018). Because of the projection, the critic's value never exceeds W1 of the same finite samples.
"""

from collections.abc import Sequence

from gen_models.adversarial.wgan import WGAN
from gen_models.layers.levels import Levels


class SNWGAN(WGAN):
    """A WGAN whose constraint is the projection.

    latent         how many numbers the generator takes
    hidden         the widths of the generator's hidden layers
    critic_hidden  the widths of the critic's hidden layers; if not given, those of the generator
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
