"""The invertible 1x1 convolution, a learned mixing of channels (Kingma and Dhariwal, 2018, section 3.2, equation 10).

At each position y = W x, with W = P L (U + diag(sign exp(log_diagonal))). P is a fixed permutation, L is lower
triangular with ones on its diagonal, U is strictly upper triangular, and the signs are fixed. Therefore W stays
invertible, and log |det| = H W sum log_diagonal costs nothing to compute (H and W here are height and width). W starts
as a random orthogonal matrix, whose log |det| is 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.linalg import solve_triangular

from gen_models.bijections.bijection import Bijection


class InvertibleConv(Bijection):
    """The convolution acts on axis 1 of (batch, channels, *positions); for vectors it is a linear map."""

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int):
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.permutation = nn.Buffer(permutation)
        self.sign = nn.Buffer(diagonal.sign())
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.triangles = nn.Parameter(lower.tril(-1) + upper.triu(1))  # L below the diagonal, U above it

    def forward(self, x):
        lower, upper = self._factors()
        y = (self.permutation @ lower @ upper) @ _columns(x)
        return y.reshape(x.shape), self._log_det(x)

    def inverse(self, y):
        lower, upper = self._factors()
        x = solve_triangular(lower, self.permutation.T @ _columns(y), upper=False, unitriangular=True)
        x = solve_triangular(upper, x, upper=True)
        return x.reshape(y.shape), -self._log_det(y)

    def _factors(self) -> tuple[Float[Tensor, "channels channels"], Float[Tensor, "channels channels"]]:
        """Return (L, U + diag(sign exp(log_diagonal)))."""
        ones = torch.eye(len(self.sign), dtype=self.sign.dtype, device=self.sign.device)
        diagonal = torch.diag(self.sign * self.log_diagonal.exp())
        return self.triangles.tril(-1) + ones, self.triangles.triu(1) + diagonal

    def _log_det(self, x: Tensor) -> Tensor:
        """Return H W sum log_diagonal for each row."""
        return (x.shape[2:].numel() * self.log_diagonal.sum()).expand(len(x))


def _columns(x: Tensor) -> Float[Tensor, "batch channels positions"]:
    """Flatten the positions, so that each is a column; vectors have one column."""
    return x.reshape(*x.shape[:2], x.shape[2:].numel())
