"""The Wasserstein GAN (Arjovsky, Chintala and Bottou, 2017) with a choice of constraint; see wasserstein.py.

The critic measures the distance between data and samples in network units. It is a perceptron without batch norm.
conv_wgan.py has the Wasserstein GAN of images.
"""

import importlib
from collections.abc import Sequence

from gen_models.adversarial.game import Game
from gen_models.adversarial.vectors import vector_generator
from gen_models.adversarial.wasserstein import WassersteinLosses, critic_activation, kept_by, pieces
from gen_models.layers.arguments import require_widths
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels
from gen_models.layers.lipschitz import LipschitzMLP


class WGAN(Game):
    """A Wasserstein GAN for vectors: critic and generator are perceptrons.

    latent         how many numbers the generator takes
    hidden         the widths of the generator's hidden layers
    critic_hidden  the widths of the critic's hidden layers; if not given, those of the generator
    n_dis          ascent steps of the critic, each on a fresh batch, for each step of the generator
    activation     of the critic: maxmin preserves gradient norms, relu is what the first papers used
    constraint     what keeps the critic near 1-Lipschitz: projection, normalisation, penalty or clipping
    penalty        the weight of the gradient penalty; used only if the constraint is penalty
    clip           the largest absolute weight of the critic; used only if the constraint is clipping
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


def __getattr__(name: str) -> type:
    """Return ConvWGAN, which this module once defined: checkpoints saved then look for it here."""
    if name == "ConvWGAN":
        return importlib.import_module("gen_models.adversarial.conv_wgan").ConvWGAN
    raise AttributeError(name)
