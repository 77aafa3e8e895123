"""The logit as a map of [0, 1] into the line, for data that have been dequantised to the unit interval.

y = logit(p), p = alpha + (1 - 2 alpha) x, where alpha keeps p away from 0 and 1, at which the logit is infinite. In
Dinh, Sohl-Dickstein and Bengio (2017, section 4.1) alpha is .05 and p stays away from 0 only; here it stays away from
both.
"""

import math

import torch
from torch.nn.functional import logsigmoid

from gen_models.bijections.bijection import Bijection

ALPHA = 0.05


class Logit(Bijection):
    """y = logit(p), p = alpha + (1 - 2 alpha) x; dy/dx = (1 - 2 alpha) / (p (1 - p))."""

    def __init__(self, alpha: float = ALPHA):
        super().__init__()
        self.alpha = alpha

    def forward(self, x):
        y = torch.logit(self.alpha + (1 - 2 * self.alpha) * x)
        return y, self._log_slope(y)

    def inverse(self, y):
        x = (torch.sigmoid(y) - self.alpha) / (1 - 2 * self.alpha)
        return x, -self._log_slope(y)

    def _log_slope(self, y):
        """Return sum(log(1 - 2 alpha) - log p - log(1 - p)) of each row; in terms of y it does not overflow."""
        slope = math.log1p(-2 * self.alpha) - logsigmoid(y) - logsigmoid(-y)
        return slope.flatten(1).sum(dim=1)
