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
    """Build a network (batch, inputs) -> (batch, outputs) with hidden layers of the widths `hidden`.

    With hidden = [] it is a linear map. The default activation, SiLU, is smooth, and so are densities built from it.
    If is_zero_at_start, the last layer's weights and biases are 0, so the network returns 0 until it is trained; a
    coupling that uses it then starts as the identity.
    """
    layers: list[nn.Module] = []
    for n, m in pairwise([inputs, *hidden]):
        layers += [nn.Linear(n, m), activation()]
    last = nn.Linear(hidden[-1] if hidden else inputs, outputs)
    if is_zero_at_start:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)
