"""The interface of bijections, which return their value and log-determinant together, and their composition.

det(dz/dx) = prod_i det(df_i/df_{i-1}), so a composition adds the log-determinants. Its inverse runs the parts
backwards.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn


class Bijection(nn.Module, ABC):
    """An invertible and differentiable map y = f(x); x and y may differ in shape.

    log_det is log |det dy/dx| of each row.
    """

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "batch *event"]
    ) -> tuple[Float[Tensor, "batch *latent"], Float[Tensor, " batch"]]:
        """Return (y, log |det dy/dx|)."""

    @abstractmethod
    def inverse(
        self, y: Float[Tensor, "batch *latent"]
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        """Return (x, log |det dx/dy|)."""

    def start(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *latent"]:
        """Initialise the parameters from the rows x and return f(x).

        Few bijections have such a start; by default only f(x) is computed.
        """
        return self(x)[0]


class Compose(Bijection):
    """The composition f = f_k o ... o f_1."""

    def __init__(self, parts: Iterable[Bijection]):
        super().__init__()
        self.parts = cast(Sequence[Bijection], nn.ModuleList(parts))

    def forward(self, x):
        total = x.new_zeros(x.shape[0])
        for part in self.parts:
            x, log_det = part(x)
            total = total + log_det
        return x, total

    def inverse(self, y):
        total = y.new_zeros(y.shape[0])
        for part in reversed(self.parts):
            y, log_det = part.inverse(y)
            total = total + log_det
        return y, total

    def start(self, x):
        """Start each part from the rows that the parts before it return."""
        for part in self.parts:
            x = part.start(x)
        return x


class Flatten(Bijection):
    """Flatten (batch, *event) to (batch, D), with log |det| = 0: the first part of a flow of vectors."""

    def __init__(self, event_shape: Sequence[int]):
        super().__init__()
        self.event_shape = tuple(event_shape)

    def forward(self, x):
        return x.flatten(1), x.new_zeros(x.shape[0])

    def inverse(self, y):
        return y.unflatten(1, self.event_shape), y.new_zeros(y.shape[0])
