"""The networks of GANs whose rows are vectors: perceptrons."""

from collections.abc import Sequence

from torch import nn

from gen_models.layers.arguments import require_choice, require_whole, require_widths
from gen_models.layers.levels import Levels, grey_levels
from gen_models.layers.mlp import ACTIVATIONS, mlp


def vector_generator(
    latent: int, hidden: Sequence[int], outputs: int, levels: Levels, activation: str = "silu"
) -> nn.Sequential:
    """Build a generator, a network (batch, latent) -> (batch, outputs).

    For data on grey levels the outputs lie within [0, 1], the interval that dequantised data fill.
    """
    require_whole("latent", latent)
    require_widths("hidden", hidden)
    require_choice("activation", activation, ACTIVATIONS)
    generator = mlp(latent, hidden, outputs, activation=ACTIVATIONS[activation])
    if grey_levels(levels) is not None:
        generator.append(nn.Sigmoid())
    return generator


def vector_critic(inputs: int, hidden: Sequence[int], activation: str = "silu") -> nn.Sequential:
    """Build a critic, a network (batch, inputs) -> (batch,). Neither its output nor its slope is bounded."""
    require_widths("critic_hidden", hidden)
    require_choice("activation", activation, ACTIVATIONS)
    return mlp(inputs, hidden, 1, activation=ACTIVATIONS[activation]).append(nn.Flatten(0))
