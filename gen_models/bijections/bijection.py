"""The interface of bijections, each of which returns its value and log-determinant together; and their composition.

For z = f_k(...f_1(x)) with f_i the result of step i, det(dz/dx) = prod_i det(df_i/df_{i-1}), so a composition adds the
log-determinants of its parts. Its inverse runs the inverses of the parts in reverse order.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn


class Bijection(nn.Module, ABC):
    """An invertible and differentiable map y = f(x) of each row; x and y may differ in shape.

    A log-determinant is one number for each row, log |det dy/dx|.
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

        Most bijections have nothing to initialise, so by default this only returns f(x).
        """
        return self(x)[0]


class Compose(Bijection):
    """The composition f = f_k o ... o f_1 of `parts` = [f_1, ..., f_k]."""

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
        """Start each part from the rows that the parts before it return; return the rows of the last part."""
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
