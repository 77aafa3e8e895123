"""The CDF of each pixel's histogram as a bijection: the universality of one-dimensional flows, for each coordinate.

    u = F_d(y),   z = Phi^-1(eps + (1 - 2 eps) u),   log dz/dy = log F_d'(y) + log(1 - 2 eps) - log phi(z)

y in [0, 1) is a dequantised grey level, and F_d the CDF of the histogram of coordinate d, linear within the cell of
each of the q levels. Phi and phi are the CDF and the density of N(0, 1). With z ~ N(0, I) the density of y is therefore
the product of the histograms. A flow that starts with this map improves on that density from its first step; its
couplings learn how the coordinates depend on each other. (Gaussianisation starts in the same way; Chen and Gopinath,
2000.)

Each histogram is smoothed by the histogram m of all coordinates together, in which every level is counted once more
than it was seen. If n_dl of the n rows have level l at coordinate d, this level gets the probability
(1 - w) n_dl/n + w m_l, with w = POOLED. u and 1 - u are stored separately, so that neither rounds to 0. Outside [0, 1],
where draws may fall but no data do, the map continues as a straight line.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.special import ndtr, ndtri

from gen_models.bijections.bijection import Bijection

EPS = 1e-5  # [0, 1] maps to |z| <= 4.26; nearer its ends float32 cannot resolve points of a cell. Costs 2e-5 nats
EDGE = 4.264890793922825  # -Phi^-1(EPS)
POOLED = 0.01  # w: each cell is so wide that float32 resolves points in it; costs 1e-3 nats a pixel of background


class Histogram(Bijection):
    """The map of rows (batch, *event) in [0, 1) with q = `levels` equal cells; z has the same shape.

    Before `fit` all levels have the same probability.
    """

    below: Tensor
    above: Tensor

    def __init__(self, dimensions: int, levels: int):
        super().__init__()
        edges = torch.linspace(0, 1, levels + 1).repeat(dimensions, 1)
        self.levels = levels
        self.below = nn.Buffer(edges)  # F at the edges of the cells, for each coordinate; `above` is 1 - F
        self.above = nn.Buffer(1 - edges)

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "batch *event"]) -> None:
        """Set the probability of each of the q levels in each coordinate, from rows x of whole numbers 0 to q - 1."""
        q, D = self.levels, len(self.below)
        cells = x.flatten(1).long() + q * torch.arange(D, device=x.device)
        counts = torch.bincount(cells.flatten(), minlength=D * q).reshape(D, q).double()
        pooled = counts.sum(dim=0) + 1
        shares = (1 - POOLED) * counts / len(x) + POOLED * pooled / pooled.sum()
        self.below[:, 1:] = shares.cumsum(dim=1).to(self.below)
        self.above[:, :-1] = shares.flip(1).cumsum(dim=1).flip(1).to(self.above)

    def forward(self, x):
        y = x.flatten(1)
        inside = y.clamp(0, 1)
        places = self.levels * inside
        cell = places.detach().floor().clamp(max=self.levels - 1).long()
        share = self._shares(cell)
        t = places - cell
        u, rest = self._at(self.below, cell) + t * share, self._at(self.above, cell + 1) + (1 - t) * share
        is_lower = u < rest
        z = ndtri(EPS + (1 - 2 * EPS) * torch.where(is_lower, u, rest))
        z = torch.where(is_lower, z, -z)
        log_slope = self._log_slope(share, z)
        z = z + (y - inside) * log_slope.exp()
        return z.view_as(x), log_slope.sum(dim=1)

    def inverse(self, y):
        z = y.flatten(1)
        inside = z.clamp(-EDGE, EDGE)
        u, rest = (((ndtr(sign * inside) - EPS) / (1 - 2 * EPS)).clamp(0, 1) for sign in (1, -1))
        is_lower = inside < 0
        from_below = torch.searchsorted(self.below, u.detach().T.contiguous(), right=True).T - 1
        from_above = self.levels - torch.searchsorted(self.above.flip(1), rest.detach().T.contiguous(), right=True).T
        cell = torch.where(is_lower, from_below, from_above).clamp(0, self.levels - 1)
        share = self._shares(cell)
        t_below = (u - self._at(self.below, cell)) / share
        t_above = 1 - (rest - self._at(self.above, cell + 1)) / share
        log_slope = self._log_slope(share, inside)
        x = (cell + torch.where(is_lower, t_below, t_above)) / self.levels + (z - inside) * (-log_slope).exp()
        return x.view_as(y), -log_slope.sum(dim=1)

    def _log_slope(self, share: Tensor, z: Tensor) -> Tensor:
        """Return log dz/dy = log(q share) + log(1 - 2 eps) - log phi(z), where share is the probability of the cell."""
        log_phi = -0.5 * (z.square() + math.log(2 * math.pi))
        return (self.levels * share).log() + math.log1p(-2 * EPS) - log_phi

    def _shares(self, cell: Tensor) -> Tensor:
        """Return the probabilities of the cells, as differences of F or of 1 - F, whichever is smaller.

        A difference of numbers near 1 would lose digits.
        """
        below, above = self._at(self.below, cell), self._at(self.above, cell + 1)
        left, right = self._at(self.below, cell + 1) - below, self._at(self.above, cell) - above
        return torch.where(below < above, left, right)

    def _at(self, table: Tensor, cell: Tensor) -> Tensor:
        """Return table[d, cell_d], of shape (batch, D)."""
        return table.flatten()[cell + table.shape[1] * torch.arange(len(table), device=cell.device)]
