"""The coupling of a neural spline flow, RQ-NSF (C) (Durkan et al., 2019, section 3.2).

z_A = x_A,  z_B = g(x_B; m(x_A)), where A are the coordinates that are kept, B those that are moved, and m is a network.
g is a rational-quadratic spline for each moved coordinate, whose widths, heights and slopes m computes.
log |det| = sum log dg/dx_B.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gen_models.bijections.coupling import Coupling
from gen_models.bijections.partition import Partition
from gen_models.bijections.spline import rational_quadratic, rational_quadratic_inverse


class SplineCoupling(Coupling):
    """A coupling of vectors (batch, D) that starts as the identity. Coordinates with |x_B| > bound do not move.

    bins   the number K of bins of each spline; the network returns 3K - 1 numbers for each moved coordinate
    bound  the splines act on [-bound, bound], in the units of x
    """

    def __init__(
        self,
        partition: Partition,
        hidden: Sequence[int],
        *,
        bins: int,
        bound: float,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ):
        super().__init__(partition, hidden, outputs=3 * bins - 1, activation=activation)
        self.bins = bins
        self.bound = bound

    def forward(self, x):
        z, log_slope = rational_quadratic(x.index_select(1, self.moved), *self._spline(x), bound=self.bound)
        return x.index_copy(1, self.moved, z), log_slope.sum(dim=1)

    def inverse(self, y):
        x, log_slope = rational_quadratic_inverse(y.index_select(1, self.moved), *self._spline(y), bound=self.bound)
        return y.index_copy(1, self.moved, x), log_slope.sum(dim=1)

    def _spline(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (widths, heights, slopes), each of shape (batch, moved, K or K - 1)."""
        raw = self.net(x.index_select(1, self.kept)).unflatten(1, (len(self.moved), 3 * self.bins - 1))
        widths, heights, slopes = raw.split([self.bins, self.bins, self.bins - 1], dim=2)
        return widths, heights, slopes
