"""Principal components as encoder and decoder: the baseline for a learned code, compressed by the same codec.

    z = V_r^T (y - m),  y' = m + V_r z,   y = x/unit

V_r are the r directions of largest variance of the training rows, so no other linear code of r numbers loses less. All
components have cells of the same size. Each then has the error step^2/12, and components that vary less than a cell
get no bits. For Gaussian components this is near the best that a linear code can do (reverse water-filling: Cover and
Thomas, section 10.3).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.codecs.latents import Grid
from gen_models.errors import DataError


class PrincipalComponents(nn.Module):
    """A linear code of rows, which come and go in the data's units.

    unit  the stored difference that is 1 on the unit scale: one number, or one for each number of a row
    """

    mean: Tensor
    unit: Tensor

    def __init__(self, mean: Tensor, directions: Float[Tensor, "components dim"], unit: Tensor, shape: Sequence[int]):
        super().__init__()
        self.mean, self.unit = nn.Buffer(mean), nn.Buffer(unit)
        self.directions = nn.Parameter(directions, requires_grad=False)
        self.event_shape = tuple(shape)

    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch components"]:
        """Return z for each row."""
        return ((x / self.unit).flatten(1) - self.mean) @ self.directions.T

    def decode(self, z: Float[Tensor, "batch components"]) -> Float[Tensor, "batch *event"]:
        """Return the row y' unit of each z."""
        return (z @ self.directions + self.mean).unflatten(1, self.event_shape) * self.unit

    def first(self, components: int) -> "PrincipalComponents":
        """Return the same code with only its first components."""
        return PrincipalComponents(self.mean, self.directions[:components].clone(), self.unit, self.event_shape)

    def even_grid(self, step: float) -> Grid:
        """Return a grid with the same step, on the unit scale, for all components."""
        components = len(self.directions)
        return Grid(torch.zeros(components, dtype=torch.float64), torch.full((components,), step, dtype=torch.float64))


def fit(x: Float[Tensor, "rows *event"], unit: Float[Tensor, "*event"]) -> PrincipalComponents:
    """Compute the components of training rows in the data's units, largest variance first; at most one for each row.

    Raises DataError without rows.
    """
    if not len(x):
        raise DataError("no rows to take principal components of: give at least one")
    y = (x / unit).flatten(1).double()
    mean = y.mean(dim=0)
    if len(y) < y.shape[1]:  # the covariance of 64x64 colours would be a matrix of a gigabyte
        directions = torch.linalg.svd(y - mean, full_matrices=False).Vh
    else:
        _, vectors = torch.linalg.eigh(torch.cov((y - mean).T, correction=0).reshape(y.shape[1], y.shape[1]))
        directions = vectors.T.flip(0)
    return PrincipalComponents(mean.to(x.dtype), directions.to(x.dtype), unit, x.shape[1:])
