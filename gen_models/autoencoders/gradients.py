"""The score function gradient of an expectation over q(z|y), and what every such estimator shares.

The score function (log-derivative) estimator of grad_phi E_q l(z) is 1/K sum_k grad log q(z_k|y) (l(z_k) - b).
It does not differentiate l with respect to z. Any b that does not depend on z_k leaves the mean unchanged, because
E_q grad log q = 0; a good b removes most of the variance (Mnih and Gregor, 2014, section 2.3).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.workers import average_over_workers

CONTROL_VARIATES = ("none", "leave_one_out", "running_mean")
MOMENTUM = 0.1  # weight of the new value; the first 10 values have equal weights


def with_gradient_of(value: Float[Tensor, ""], surrogate: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return `value` with the surrogate's gradient, so that checks for divergence see the objective itself."""
    return value.detach() + (surrogate - surrogate.detach())


def leave_one_out(values: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
    """Return, for each sample, the mean of the row's other samples: its b (Mnih and Rezende, 2016, section 2.2)."""
    samples = values.shape[1]
    return (values.sum(dim=1, keepdim=True) - values) / (samples - 1)


class RunningMean(nn.Module):
    """A running mean of the batches' means, averaged over workers; 0 before the first batch.

    It is the plain mean of the first 10 batches; from then on the newest batch has the weight 0.1.
    """

    mean: Tensor
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor(0.0))
        self.steps = nn.Buffer(torch.tensor(0.0))

    @torch.no_grad()
    def add(self, values: Tensor) -> None:
        """Include a batch; to be called after its gradient was formed with the mean of the batches before it."""
        new = values.mean()
        average_over_workers([new])
        self.steps += 1
        self.mean.lerp_(new, max(MOMENTUM, 1 / self.steps.item()))
