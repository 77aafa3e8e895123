"""The Wasserstein GAN (Arjovsky, Chintala and Bottou, 2017), its constraint a choice; see wasserstein.py.

What its critic measures is the distance of data and samples in network units: an MLP's, of vectors, or a convolutional
one's, of images, against DCGAN's generator. No critic has a batch norm.
"""

from collections.abc import Sequence

from gen_models.adversarial.game import Game
from gen_models.adversarial.vectors import vector_generator
from gen_models.adversarial.wasserstein import WassersteinLosses, critic_activation, kept_by, pieces
from gen_models.layers.arguments import require_widths
from gen_models.layers.data_scale import dimensions
from gen_models.layers.dcgan import Generator
from gen_models.layers.lipschitz import LipschitzMLP
from gen_models.layers.lipschitz_conv import LipschitzConv


class WGAN(Game):
    """A critic on y, a generator of y, both perceptrons.

    hidden         the generator's widths
    critic_hidden  the critic's, the same if not given
    n_dis          ascent steps of the critic, each on a fresh batch, for each step of the generator
    activation     of the critic: maxmin keeps gradient norms, relu is what the first papers used
    constraint     projection, normalisation, penalty or clipping
    penalty        the weight of the gradient penalty, where that is the constraint
    clip           the largest weight of the critic, where clipping is
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
        activation: str = "maxmin",
        constraint: str = "penalty",
        penalty: float = 10.0,
        clip: float = 0.01,
    ):
        critic_hidden = hidden if critic_hidden is None else critic_hidden
        require_widths("critic_hidden", critic_hidden)
        nonlinear = critic_activation(activation, {f"critic_hidden[{i}]": w for i, w in enumerate(critic_hidden)})
        D = dimensions(event_shape)
        critic = LipschitzMLP(D, critic_hidden, activation=nonlinear, kept_by=kept_by(constraint))
        added, after_step = pieces(constraint, critic, penalty=penalty, clip=clip)
        super().__init__(
            event_shape,
            levels,
            latent=latent,
            generator=vector_generator(latent, hidden, D, levels),
            critic=critic,
            losses=WassersteinLosses(),
            y_shape=[D],
            n_dis=n_dis,
            penalty=added,
            constrain=after_step,
        )


class ConvWGAN(Game):
    """A convolutional critic on images against DCGAN's generator.

    channels         of the generator's layer next to the image, doubled at each halving
    critic_channels  the critic's, the same if not given
    The rest as in WGAN; the norms are those of the convolutions as operators.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        *,
        latent: int,
        channels: int,
        critic_channels: int | None = None,
        kernel: int = 3,
        n_dis: int = 1,
        activation: str = "maxmin",
        constraint: str = "projection",
        penalty: float = 10.0,
        clip: float = 0.01,
    ):
        critic_channels = channels if critic_channels is None else critic_channels
        nonlinear = critic_activation(activation, {"critic_channels": critic_channels})
        critic = LipschitzConv(
            event_shape, channels=critic_channels, kernel=kernel, activation=nonlinear, kept_by=kept_by(constraint)
        )
        added, after_step = pieces(constraint, critic, penalty=penalty, clip=clip)
        super().__init__(
            event_shape,
            levels,
            latent=latent,
            generator=Generator(latent, event_shape, channels=channels, kernel=kernel, is_unit=levels is not None),
            critic=critic,
            losses=WassersteinLosses(),
            y_shape=event_shape,
            n_dis=n_dis,
            penalty=added,
            constrain=after_step,
        )
