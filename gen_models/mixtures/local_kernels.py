"""Kernels that are wider where rows are sparser: at each training row y_k a spherical kernel of variance v s_k.

s_k is the square root of the mean squared distance of y_k to its `neighbours` nearest rows, in units of the median of
these means over rows. (Breiman, Meisel and Purcell, 1977, take no square root; with it, s_k follows the noise of the
distances less.) EM chooses v: it maximises the likelihood of each row under the kernels of the other rows.

The remoteness of a row y is min_k |y - y_k|^2 / (v s_k). So a row just outside a dense group is as remote as a row far
outside a sparse group.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.layers.arguments import require_whole
from gen_models.mixtures.kernels import ROWS, StoresRows, by_blocks, left_out_distances, squared_distances
from gen_models.noise import Noise

LEAST_MEDIAN = 1e-3  # floor of the median of the mean squared distances: many tables repeat rows
LEAST_SCALE = 0.01  # added to a mean squared distance in units of the median
MIN_STD = 0.05
EM_STEPS = 12
QUERIES = 512


class LocalKernels(StoresRows):
    """Kernels at standardised training rows, which `fit` stores.

    dim         how many numbers a row has
    neighbours  how many nearest rows set the width of a row's kernel
    """

    BY_ROW = ("centres", "variances")
    centres: Tensor
    variances: Tensor

    def __init__(self, dim: int, *, neighbours: int = 5):
        super().__init__()
        require_whole("neighbours", neighbours)
        self.neighbours = neighbours
        self.centres = nn.Buffer(torch.empty(0, dim))
        self.variances = nn.Buffer(torch.empty(0))

    @torch.no_grad()
    def fit(self, y: Float[Tensor, "rows dim"], noise: Noise) -> None:
        """Store the rows y, at least 2; set each s_k from the row's nearest rows, and v by EM."""
        nearest = min(self.neighbours, len(y) - 1)
        numbers = torch.arange(len(y), device=y.device)
        means = torch.cat(
            [left_out_distances(y, block).topk(nearest, largest=False)[0].mean(dim=1) for block in numbers.split(ROWS)]
        )
        median = means.median().clamp_min(LEAST_MEDIAN)
        scales, d = (means / median + LEAST_SCALE).sqrt(), y.shape[1]
        v = median / d
        for step in range(EM_STEPS):
            rows = noise.permutation(f"local_kernels.{step}", len(y))[:QUERIES].to(y.device)
            ratios = left_out_distances(y, rows) / scales
            r = torch.softmax(-0.5 * (ratios / v + d * scales.log()), dim=1)
            v = ((r * ratios).sum(dim=1).mean() / d).clamp_min(MIN_STD**2)
        self.centres, self.variances = y, v * scales

    def remoteness(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Return min_k |y - y_k|^2 / (v s_k) for each standardised row y."""
        return by_blocks(self._least, lambda block: squared_distances(block, self.centres), y)

    def left_out(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Return, for each index i in `rows`, the remoteness of the training row y_i from the other training rows."""
        return by_blocks(self._least, lambda block: left_out_distances(self.centres, block), rows)

    def left_out_log_density(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Return log p(y_i) in nats for each index i in `rows`, under the kernels of the other training rows."""
        return by_blocks(self._log_density, lambda block: left_out_distances(self.centres, block), rows)

    def _log_density(self, squares: Float[Tensor, "batch rows"]) -> Float[Tensor, " batch"]:
        n, d = self.centres.shape
        kernels = torch.logsumexp(-0.5 * (squares / self.variances + d * self.variances.log()), dim=1)
        return kernels - math.log(n - 1) - 0.5 * d * math.log(2 * math.pi)

    def _least(self, squares: Float[Tensor, "batch rows"]) -> Float[Tensor, " batch"]:
        return squares.div_(self.variances).amin(dim=1)
