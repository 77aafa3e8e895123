"""The Wasserstein GAN of images: the generator of DCGAN against a convolutional critic that is kept 1-Lipschitz.

Source: Arjovsky, Chintala and Bottou (2017). layers/lipschitz_conv.py has the critic's network.
"""

from collections.abc import Sequence

from gen_models.adversarial.game import Game
from gen_models.adversarial.wasserstein import WassersteinLosses, critic_activation, kept_by, pieces
from gen_models.layers.dcgan import Generator
from gen_models.layers.levels import Levels, grey_levels
from gen_models.layers.lipschitz_conv import LipschitzConv


class ConvWGAN(Game):
    """A Wasserstein GAN for images: a convolutional critic and DCGAN's generator.

    channels         channels of the generator's layer next to the image, doubled each time the image is halved
    critic_channels  the critic's channels; if not given, as many as the generator's
    kernel           side of the kernels of both networks, odd

    The other arguments are those of WGAN. A constraint on norms bounds the norm of a convolution as a linear operator.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
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
            generator=Generator(
                latent, event_shape, channels=channels, kernel=kernel, is_unit=grey_levels(levels) is not None
            ),
            critic=critic,
            losses=WassersteinLosses(),
            y_shape=event_shape,
            n_dis=n_dis,
            penalty=added,
            constrain=after_step,
        )
