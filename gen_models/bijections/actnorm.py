"""ActNorm: a scale and a bias for each channel, initialised from data (Kingma and Dhariwal, 2018, section 3.1).

y = exp(log_scale) (x + bias), and log |det| = H W sum log_scale for images of height H and width W. `start` sets
bias = -mean and log_scale = -log std of the first rows, so that each channel of y has mean 0 and variance 1. After that
both are ordinary parameters, so training and evaluation compute the same map.
"""

import torch
from torch import Tensor, nn

from gen_models.bijections.bijection import Bijection
from gen_models.layers.batch_norm import along, batch_statistics

MIN_STD = 1e-3  # floor for a channel that hardly varies in the first rows: its scale becomes 1000, not infinite


class ActNorm(Bijection):
    """The map for axis 1 of (batch, channels, *positions); vectors have no positions.

    `initialised` is a buffer, so that a flow loaded from a checkpoint is not initialised again. Only `start` sets it.
    """

    initialised: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.initialised = nn.Buffer(torch.tensor(False))

    def forward(self, x):
        y = along(self.log_scale.exp(), x) * (x + along(self.bias, x))
        return y, self._log_det(x)

    def inverse(self, y):
        x = y * along((-self.log_scale).exp(), y) - along(self.bias, y)
        return x, -self._log_det(y)

    @torch.no_grad()
    def start(self, x):
        """Set scale and bias so that y has mean 0 and variance 1 over the rows x of all workers; return y.

        If they were set before, only return y.
        """
        if not self.initialised:
            mean, variance = batch_statistics(x)
            self.bias.copy_(-mean)
            self.log_scale.copy_(-variance.sqrt().clamp_min(MIN_STD).log())
            self.initialised.fill_(True)
        return self(x)[0]

    def _log_det(self, x: Tensor) -> Tensor:
        """Return H W sum log_scale for each row."""
        return (x.shape[2:].numel() * self.log_scale.sum()).expand(len(x))
