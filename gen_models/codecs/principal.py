"""Principal components as encoder and decoder: the baseline for a learned encoder, compressed by codecs/latents.py.

    z = V_r^T (y - m),  y' = m + V_r z,   y = x/unit

m is the mean of the training rows. V_r are their r directions of largest variance, so no other linear map to r numbers
and back loses less. All components are rounded to cells of the same width, `step`. Each component then has the mean
squared error step^2/12, and components that vary less than a cell get no bits. For Gaussian components this is near the
best that linear maps can do (reverse water-filling: Cover and Thomas, section 10.3).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.codecs.latents import Grid
from gen_models.errors import DataError


class PrincipalComponents(nn.Module):
    """A linear encoder and decoder of rows in the data's units.

    mean        m, of the rows divided by `unit`
    directions  the rows of V_r^T
    unit        the difference in the data's units that is 1 on the unit scale: one number, or one for each number of x
    shape       the shape of a row
    """

    mean: Tensor
    unit: Tensor

    def __init__(self, mean: Tensor, directions: Float[Tensor, "components dim"], unit: Tensor, shape: Sequence[int]):
        super().__init__()
        self.mean, self.unit = nn.Buffer(mean), nn.Buffer(unit)
        self.directions = nn.Parameter(directions, requires_grad=False)
        self.event_shape = tuple(shape)

    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch components"]:
        """Return the components z of each row x."""
        return ((x / self.unit).flatten(1) - self.mean) @ self.directions.T

    def decode(self, z: Float[Tensor, "batch components"]) -> Float[Tensor, "batch *event"]:
        """Return the row unit * y' for each z, in the data's units."""
        return (z @ self.directions + self.mean).unflatten(1, self.event_shape) * self.unit

    def first(self, components: int) -> "PrincipalComponents":
        """Return the same encoder and decoder with only the first `components` components."""
        return PrincipalComponents(self.mean, self.directions[:components].clone(), self.unit, self.event_shape)

    def even_grid(self, step: float) -> Grid:
        """Return a grid whose cells have the same width, `step` on the unit scale, for all components."""
        components = len(self.directions)
        return Grid(torch.zeros(components, dtype=torch.float64), torch.full((components,), step, dtype=torch.float64))


def fit(x: Float[Tensor, "rows *event"], unit: Float[Tensor, "*event"]) -> PrincipalComponents:
    """Compute all principal components of training rows in the data's units, largest variance first.

    There are as many as a row has numbers, or as there are rows if these are fewer. Raises DataError if there are none.
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
