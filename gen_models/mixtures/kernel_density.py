"""The kernel density p(y) = 1/n sum_k N(y; y_k, S), one component at each training row, with one learned covariance S.

S maximises the likelihood of each row under the kernels of the other rows (Duin, 1976, for a single bandwidth), by EM:

    E: r_ik = N(y_i; y_k, S) / sum_{l != i} N(y_i; y_l, S), r_ii = 0
    M: S = 1/n sum_ik r_ik (y_i - y_k)(y_i - y_k)^T

There are n training rows y_k of d numbers. S is wide along a column that says nothing about where a row's neighbours
are, and narrow across a relation among columns that all rows obey. A full S is drawn towards a multiple of I,
S <- (1 - a) S + a tr(S)/d I, because n rows do not determine d^2 numbers.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.layers.arguments import require_choice, require_whole
from gen_models.mixtures.kernels import StoresRows, by_blocks, left_out_distances, squared_distances
from gen_models.noise import Noise

COVARIANCES = ("full", "spherical")
MIN_STD = (
    0.05  # of a kernel, in units of the columns' standard deviation: where rows repeat the likelihood has no maximum
)
FIRST_STD = 0.3
QUERIES = 512  # rows of each EM step, drawn anew
UNDAMPED = 2  # from this step on, S is averaged with the S of the step before, because each step sees other rows


class KernelDensity(StoresRows):
    """A kernel density of standardised rows; `fit` stores the training rows as the centres.

    covariance  full or spherical
    shrinkage   a, the weight with which a full S is drawn towards a multiple of I
    em_steps    steps of EM
    """

    BY_ROW = ("centres",)
    centres: Tensor
    whitening: Tensor

    def __init__(self, dim: int, *, covariance: str = "full", shrinkage: float = 0.1, em_steps: int = 15):
        super().__init__()
        require_choice("covariance", covariance, COVARIANCES)
        require_whole("em_steps", em_steps, least=0)
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.em_steps = em_steps
        self.centres = nn.Buffer(torch.empty(0, dim))  # whitened
        self.whitening = nn.Buffer(torch.eye(dim) / FIRST_STD)

    @torch.no_grad()
    def fit(self, y: Float[Tensor, "rows dim"], noise: Noise) -> None:
        """Choose S by em_steps steps of EM on the rows y, of which there must be at least 2."""
        spread = FIRST_STD**2 * torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
        self.whitening = self._whitening(spread)
        for step in range(self.em_steps):
            rows = noise.permutation(f"kernel_density.{step}", len(y))[:QUERIES].to(y.device)
            found = self._m_step(y, rows)
            spread = found if step < UNDAMPED else (spread + found) / 2
            self.whitening = self._whitening(spread)
        self.centres = y @ self.whitening

    def log_density(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Return log p(y) in nats of standardised rows y."""
        y = y @ self.whitening
        kernels = by_blocks(_log_sum, lambda block: squared_distances(block, self.centres), y)
        return kernels + self._constant(len(self.centres))

    def left_out(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Return log p(y_i) for each index i in `rows`, under the density of the n - 1 training rows other than y_i."""
        kernels = by_blocks(_log_sum, lambda block: left_out_distances(self.centres, block), rows)
        return kernels + self._constant(len(self.centres) - 1)

    def _m_step(self, y: Float[Tensor, "rows dim"], rows: Int[Tensor, " batch"]) -> Float[Tensor, "dim dim"]:
        """Return the S of the M step on the training rows with these indices, drawn towards a multiple of I."""
        r = torch.softmax(-0.5 * left_out_distances(y @ self.whitening, rows), dim=1)
        x, identity = y[rows], torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
        counts = r.sum(dim=0)
        if self.covariance == "spherical":
            means = r @ y
            total = x.square().sum() + counts @ y.square().sum(dim=1) - 2 * (x * means).sum()
            return (total / x.numel()).clamp_min(MIN_STD**2) * identity
        cross = (r.T @ x).T @ y
        spread = (x.T @ x + (y * counts[:, None]).T @ y - cross - cross.T) / len(x)
        return (1 - self.shrinkage) * spread + self.shrinkage * spread.diagonal().mean() * identity

    def _whitening(self, spread: Float[Tensor, "dim dim"]) -> Float[Tensor, "dim dim"]:
        """Return W with S^-1 = W W^T, the eigenvalues of S clipped from below."""
        if self.covariance == "spherical":
            return torch.diag(spread.diagonal().clamp_min(MIN_STD**2).rsqrt())
        variances, directions = torch.linalg.eigh(spread)
        return directions / variances.clamp_min(MIN_STD**2).sqrt()

    def _constant(self, n: int) -> Float[Tensor, ""]:
        """Return log(1/n |S|^-1/2 (2 pi)^-d/2)."""
        d = self.whitening.shape[0]
        return torch.linalg.slogdet(self.whitening).logabsdet - math.log(n) - 0.5 * d * math.log(2 * math.pi)


def _log_sum(squares: Float[Tensor, "batch rows"]) -> Float[Tensor, " batch"]:
    return torch.logsumexp(squares.mul_(-0.5), dim=1)
