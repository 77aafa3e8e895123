"""The multilayer perceptron: y_l = activation(A_l y_{l-1} + b_l), with a linear last layer."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU, "tanh": nn.Tanh}


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    *,
    activation: Callable[[], nn.Module] = nn.SiLU,
    is_zero_at_start: bool = False,
) -> nn.Sequential:
    """Build a network (batch, inputs) -> (batch, outputs); with hidden = [] it is a linear map.

    SiLU is smooth, and so are densities built from it. `is_zero_at_start` makes the last layer 0, so that what is built
    around the network starts where an output of 0 puts it; a coupling starts as the identity.
    """
    layers: list[nn.Module] = []
    for n, m in pairwise([inputs, *hidden]):
        layers += [nn.Linear(n, m), activation()]
    last = nn.Linear(hidden[-1] if hidden else inputs, outputs)
    if is_zero_at_start:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)
