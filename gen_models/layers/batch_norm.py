"""Batch normalisation inside a network (Ioffe and Szegedy, 2015), over the batch of all workers.

y = gamma (x - m)/sqrt(v + eps) + beta for each channel. In training, m and v are the mean and variance of the global
batch. They are sums over workers through which gradients flow, so two workers compute what one would. In evaluation
mode m and v are running means, so the result for a row does not depend on the other rows of its batch.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.workers import sum_over_workers


class BatchNorm(nn.Module):
    """The layer for axis 1 of (batch, channels, *positions).

    `momentum` is the weight of the new batch in the running means, as in torch.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.mean = nn.Buffer(torch.zeros(channels))
        self.variance = nn.Buffer(torch.ones(channels))

    def forward(self, x: Float[Tensor, "batch channels *positions"]) -> Float[Tensor, "batch channels *positions"]:
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = batch_statistics(x)
            self.mean.lerp_(mean.detach(), self.momentum)
            self.variance.lerp_(variance.detach(), self.momentum)
        scale = self.gamma * (variance + self.eps).rsqrt()
        return x * along(scale, x) + along(self.beta - mean * scale, x)


def batch_statistics(
    x: Float[Tensor, "batch channels *positions"],
) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
    """Return the mean and variance of each channel over positions and the batch of all workers.

    The variance divides by the number n of values, not by n - 1.
    """
    axes = [0, *range(2, x.ndim)]
    count = sum_over_workers(x.new_tensor(float(x.numel() // x.shape[1])))
    mean = sum_over_workers(x.sum(dim=axes)) / count
    variance = sum_over_workers((x - along(mean, x)).square().sum(dim=axes)) / count
    return mean, variance


def along(values: Float[Tensor, " channels"], x: Float[Tensor, "batch channels *positions"]) -> Tensor:
    """Reshape values (channels,) so that they broadcast along the channels of x."""
    return values.view(-1, *[1] * (x.ndim - 2))
