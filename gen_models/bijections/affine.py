"""The affine bijection f(x) = A^-1 (x - b), parameterised so that its determinant needs no decomposition.

    A^-1 = diag(exp(-s)) (I + N) (I + U),    log |det df/dx| = -sum s,

N is strictly lower and U strictly upper triangular. This is an LU factorisation without pivots, as in Glow (Kingma and
Dhariwal, 2018, equation 10). Training solves no linear systems; the inverse solves two triangular ones. Already with
U = 0 every Gaussian has such a factor: exp(s_i) is then the standard deviation of x_i given the coordinates before it.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.linalg import solve_triangular

from gen_models.bijections.bijection import Bijection
from gen_models.layers.arguments import require_whole


class AffineMap(Bijection):
    """The map z = A^-1 (x - b) for vectors (batch, D), with inverse x = A z + b. It starts as the identity."""

    def __init__(self, dimensions: int):
        super().__init__()
        require_whole("dimensions", dimensions)
        below = dimensions * (dimensions - 1) // 2
        self.b = nn.Parameter(torch.zeros(dimensions))
        self.log_scales = nn.Parameter(torch.zeros(dimensions))
        self.lower = nn.Parameter(torch.zeros(below))  # N, row by row
        self.upper = nn.Parameter(torch.zeros(below))  # U^T, row by row

    def forward(self, x):
        lower, upper = self._factors()
        z = ((x - self.b) @ upper.T @ lower.T) * (-self.log_scales).exp()
        return z, self._log_det(x)

    def inverse(self, y):
        lower, upper = self._factors()
        middle = solve_triangular(lower, (y * self.log_scales.exp()).T, upper=False, unitriangular=True)
        return solve_triangular(upper, middle, upper=True, unitriangular=True).T + self.b, -self._log_det(y)

    def matrix(self) -> Float[Tensor, "dim dim"]:
        """Return A = (I + U)^-1 (I + N)^-1 diag(exp(s)), so that x has covariance A A^T if z ~ N(0, I)."""
        eye = torch.eye(len(self.b), dtype=self.b.dtype, device=self.b.device)
        return (self.inverse(eye)[0] - self.b).T

    def _factors(self) -> tuple[Tensor, Tensor]:
        """Return I + N and I + U."""
        D = len(self.b)
        eye = torch.eye(D, dtype=self.b.dtype, device=self.b.device)
        row, column = torch.tril_indices(D, D, offset=-1, device=self.b.device)
        return eye.index_put((row, column), self.lower), eye.index_put((column, row), self.upper)

    def _log_det(self, x: Tensor) -> Tensor:
        return -self.log_scales.sum().expand(len(x))
