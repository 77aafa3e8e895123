"""The field h(t, z) of a continuous flow: a perceptron in which every layer depends on the time.

    layer(t, y) = (A y + b) * 2 sigmoid(g t + g_0) + c t

This is the gated layer that Grathwohl et al. (2019, appendix B.1) call concatsquash; the factor 2 makes it an ordinary
layer at its start, g = g_0 = 0. Only smooth activations are allowed: the trace of dh/dz is integrated, and an ODE
solver of order p needs p derivatives, which ReLU does not have.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from gen_models.layers.arguments import require_choice, require_widths


def silu_derivative(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * (1 + x * torch.sigmoid(-x))


def tanh_derivative(x: Tensor) -> Tensor:
    return 1 - torch.tanh(x).square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"silu": silu, "softplus": softplus, "tanh": torch.tanh}
DERIVATIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": silu_derivative,
    "softplus": torch.sigmoid,
    "tanh": tanh_derivative,
}


class VectorField(nn.Module):
    """A field h: (t, (batch, D)) -> (batch, D). It is 0 before training, so that its flow is then the identity.

    hidden      the widths of the hidden layers
    activation  silu, softplus or tanh
    """

    def __init__(self, dimensions: int, hidden: Sequence[int], *, activation: str = "tanh"):
        super().__init__()
        require_widths("hidden", hidden)
        require_choice("activation", activation, ACTIVATIONS)
        widths = [dimensions, *hidden, dimensions]
        self.layers = cast(Sequence[TimedLinear], nn.ModuleList(TimedLinear(n, m) for n, m in pairwise(widths)))
        self.activation = ACTIVATIONS[activation]
        self.derivative = DERIVATIVES[activation]
        last = self.layers[-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, t: Float[Tensor, "*times"], z: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return h(t, z); t is one time for all rows, or (batch, 1) with a time for each row."""
        t = t.reshape(-1, 1)
        *hidden, last = self.layers
        for layer in hidden:
            z = self.activation(layer(t, z))
        return last(t, z)

    def with_divergence(
        self, t: Float[Tensor, ""], z: Float[Tensor, "batch dim"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, " batch"]]:
        """Return h(t, z) and its exact divergence tr(dh/dz), for one time t of all rows.

        Let A_1 .. A_L be the weights of the hidden layers and A_{L+1} the weight of the last layer. With the diagonal
        matrices C_l = diag(activation' * gate) of hidden layer l and G = diag(gate) of the last layer,

            tr(dh/dz) = tr(C_L A_L ... C_2 A_2 C_1 [A_1 G A_{L+1}])

        The bracket is the same for all rows. So with one or two hidden layers the work on a row's trace depends on the
        hidden widths only, whatever D is. With more layers a product of matrices is formed for each row; it starts from
        the D coordinates of z where D is smaller than the first hidden width.
        """
        t, dimensions = t.reshape(1, 1), z.shape[1]
        *hidden, last = self.layers
        slopes = []
        for layer in hidden:
            before = layer(t, z)
            slopes.append(self.derivative(before) * layer.gate(t))
            z = self.activation(before)
        weights = [layer.linear.weight for layer in hidden]
        outer = last.gate(t).mT * last.linear.weight
        if not hidden:
            return last(t, z), outer.diagonal().sum().expand(len(z))
        inner = weights[0] @ outer
        if len(hidden) == 1:
            return last(t, z), slopes[0] @ inner.diagonal()
        if len(hidden) == 2:
            return last(t, z), ((slopes[0] @ (inner * weights[1].mT)) * slopes[1]).sum(dim=1)
        # Rows of Jacobians are multiplied from the right, so that all rows of z share one product of matrices.
        if dimensions < len(inner):
            rows, closing = weights[0].mT.contiguous(), outer
        else:
            rows, closing = inner.mT.contiguous(), torch.eye(inner.shape[1], dtype=z.dtype, device=z.device)
        found = rows * slopes[0][:, None]
        for weight, slope in zip(weights[1:], slopes[1:], strict=True):
            found = (found @ weight.mT) * slope[:, None]
        return last(t, z), (found * closing).sum(dim=(1, 2))


class TimedLinear(nn.Module):
    """The layer (A y + b) * 2 sigmoid(g t + g_0) + c t, which depends on the time t; A, b, g, g_0 and c are trained."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.slope = nn.Parameter(torch.zeros(outputs))  # g
        self.offset = nn.Parameter(torch.zeros(outputs))  # g_0
        self.drift = nn.Parameter(torch.zeros(outputs))  # c

    def forward(self, t: Float[Tensor, "times 1"], y: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        return self.linear(y) * self.gate(t) + self.drift * t

    def gate(self, t: Float[Tensor, "times 1"]) -> Float[Tensor, "times outputs"]:
        """Return 2 sigmoid(g t + g_0)."""
        return 2 * torch.sigmoid(self.slope * t + self.offset)
