"""The linear denoiser of least squared error, in closed form (Wiener, 1949): the baseline for a network.

    min over A, b of sum_i |x_i - A c_i - b|^2:   A = S_xc S_cc^+,   b = mean(x) - A mean(c)

c_i is a random corruption of the row x_i. S_xc and S_cc are sums over all draws of the products of centred x and c, and
of centred c with itself; + is the pseudo-inverse. A number that is the same in all draws carries no information and
gets no weight. With c = x + s e, e ~ N(0, I), A tends to C (C + s^2 I)^-1 as draws are added, where C is the covariance
of x.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.analysis.denoising import Denoiser
from gen_models.errors import DataError
from gen_models.evaluating import CHUNK_ROWS
from gen_models.noise import Noise

DRAWS = 16  # corruptions of each row; with a single one the fit would follow the accidents of that draw


@dataclass(frozen=True)
class Wiener:
    """The linear denoiser x' = A c + b, in float64: `matrix` is A, `offset` is b."""

    matrix: Float[Tensor, "dim dim"]
    offset: Float[Tensor, " dim"]

    def denoise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """Return the denoised rows x' of the corrupted rows x, both in the data's units."""
        flat = x.flatten(1).double() @ self.matrix.T + self.offset
        return flat.to(x.dtype).view_as(x)


def fit(model: Denoiser, x: Float[Tensor, "rows *event"], noise: Noise, *, draws: int = DRAWS) -> Wiener:
    """Fit A and b to the clean rows x and to `draws` corruptions of each, which `model.corrupt` draws.

    Raises DataError if there are no rows.
    """
    if not len(x):
        raise DataError("no rows to fit a linear denoiser on: give at least one")
    clean = x.flatten(1).double()
    mean = clean.mean(dim=0)
    dims = clean.shape[1]
    seen, total = torch.zeros(dims, dtype=torch.float64), draws * len(x)
    cross = torch.zeros(dims, dims, dtype=torch.float64)
    square = torch.zeros_like(cross)
    for draw in range(draws):
        corrupted = model.corrupt(x, noise.at(draw))
        for c, y in zip(corrupted.split(CHUNK_ROWS), clean.split(CHUNK_ROWS), strict=True):
            d = c.flatten(1).double() - mean  # centred near the middle of c, so that sums of squares lose no digits
            seen += d.sum(dim=0)
            cross += (y - mean).T @ d
            square += d.T @ d
    middle = seen / total
    square -= total * torch.outer(middle, middle)  # the sum of (y - mean) is 0, so cross is already centred
    matrix = cross @ torch.linalg.pinv(square, hermitian=True, rtol=1e-10)
    return Wiener(matrix, mean - matrix @ (middle + mean))
