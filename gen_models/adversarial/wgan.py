"""The Wasserstein GAN (Arjovsky, Chintala and Bottou, 2017) with a choice of constraint; see wasserstein.py.

The critic measures the distance between data and samples in network units. It is an MLP for vectors; for images it is
convolutional, and the generator is DCGAN's. No critic has batch norm.
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
    """A Wasserstein GAN for vectors: critic and generator are perceptrons.

    hidden         the widths of the generator's hidden layers
    critic_hidden  the critic's widths; the generator's if not given
    n_dis          ascent steps of the critic, each on a fresh batch, for each step of the generator
    activation     of the critic: maxmin preserves gradient norms, relu is what the first papers used
    constraint     projection, normalisation, penalty or clipping
    penalty        the weight of the gradient penalty; used only if the constraint is penalty
    clip           the largest absolute weight of the critic; used only if the constraint is clipping
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
    """A Wasserstein GAN for images: a convolutional critic and DCGAN's generator.

    channels         of the generator's layer next to the image, doubled each time the image is halved
    critic_channels  the critic's channels; the generator's if not given
    The other arguments are those of WGAN. Norms are those of the convolutions as linear operators.
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
