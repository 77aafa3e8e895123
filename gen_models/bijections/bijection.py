"""A bijection gives its value and its log-determinant together; a composition adds them.

det(dz/dx) = prod_i det(df_i/df_{i-1}), so log-dets add; the inverse runs backwards.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn


class Bijection(nn.Module, ABC):
    """y = f(x), invertible and differentiable; log_det is log |det dy/dx| of each row. Shapes of x and y may differ."""

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "batch *event"]
    ) -> tuple[Float[Tensor, "batch *latent"], Float[Tensor, " batch"]]:
        """(y, log |det dy/dx|)."""

    @abstractmethod
    def inverse(
        self, y: Float[Tensor, "batch *latent"]
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        """(x, log |det dx/dy|)."""

    def start(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *latent"]:
        """Let the parameters start where these rows say, and pass the rows on; few bijections have such a start."""
        return self(x)[0]


class Compose(Bijection):
    """f = f_k o ... o f_1."""

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
        for part in self.parts:
            x = part.start(x)
        return x


class Flatten(Bijection):
    """(batch, *event) -> (batch, D), log |det| = 0: where a flow of vectors begins, and one of images ends."""

    def __init__(self, event_shape: Sequence[int]):
        super().__init__()
        self.event_shape = tuple(event_shape)

    def forward(self, x):
        return x.flatten(1), x.new_zeros(x.shape[0])

    def inverse(self, y):
        return y.unflatten(1, self.event_shape), y.new_zeros(y.shape[0])
