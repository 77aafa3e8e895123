"""The deep convolutional GAN (Radford, Metz and Chintala, 2016): the losses of GAN, with convolutional networks."""

from collections.abc import Sequence

from gen_models.adversarial.game import Game
from gen_models.adversarial.gan_losses import GANLosses
from gen_models.layers.dcgan import Discriminator, Generator
from gen_models.layers.levels import Levels, grey_levels


class DCGAN(Game):
    """A GAN for images: the critic ascends E log D(Y) + lambda E log(1 - D(G(Z))), where D = sigmoid(critic).

    Y is a real row and G(Z) a fake, the generator's output for Z ~ N(0, I).

    latent          how many numbers Z has
    channels        channels of the layers next to the image, doubled each time the image is halved. The paper has 128
    kernel          side of the convolutions' kernels, odd; the paper has 5
    n_dis           ascent steps of the critic, each on a fresh batch, for each step of the generator
    weight          lambda
    generator_loss  zero_sum: the generator descends what the critic ascends; non_saturating, which the paper trains
                    with: see GANLosses
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        latent: int,
        channels: int,
        kernel: int = 5,
        n_dis: int = 1,
        weight: float = 1.0,
        generator_loss: str = "non_saturating",
    ):
        is_unit = grey_levels(levels) is not None
        super().__init__(
            event_shape,
            levels,
            latent=latent,
            generator=Generator(latent, event_shape, channels=channels, kernel=kernel, is_unit=is_unit),
            critic=Discriminator(event_shape, channels=channels, kernel=kernel, is_unit=is_unit),
            losses=GANLosses(weight, generator_loss),
            y_shape=event_shape,
            n_dis=n_dis,
        )
