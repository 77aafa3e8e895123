"""The perceptrons of games whose rows are vectors."""

from collections.abc import Sequence

from torch import nn

from gen_models.layers.arguments import require_whole, require_widths
from gen_models.layers.mlp import mlp


def vector_generator(latent: int, hidden: Sequence[int], outputs: int, levels: int | None) -> nn.Sequential:
    """(batch, latent) -> (batch, outputs), within [0, 1] for data on levels: dequantised data fill it."""
    require_whole("latent", latent)
    require_widths("hidden", hidden)
    generator = mlp(latent, hidden, outputs)
    if levels is not None:
        generator.append(nn.Sigmoid())
    return generator


def vector_critic(inputs: int, hidden: Sequence[int]) -> nn.Sequential:
    """(batch, inputs) -> (batch,): a logit, unbounded and unconstrained."""
    require_widths("critic_hidden", hidden)
    return mlp(inputs, hidden, 1).append(nn.Flatten(0))
