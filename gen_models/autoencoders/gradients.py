"""The score function gradient of an expectation over q(z|y), and control variates b that reduce its variance.

Let phi be the parameters of q, l a function of the latents z, and z_1 .. z_K draws of q(z|y). The score function
(log-derivative) estimator of grad_phi E_q l(z) is

    1/K sum_k grad_phi log q(z_k|y) (l(z_k) - b)

It does not differentiate l with respect to z. Any b that does not depend on z_k leaves the mean unchanged, because
E_q grad_phi log q = 0; a good b removes most of the variance (Mnih and Gregor, 2014, section 2.3).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.workers import average_over_workers

CONTROL_VARIATES = ("none", "leave_one_out", "running_mean")
MOMENTUM = 0.1  # weight of the new value; the first 10 values have equal weights


def with_gradient_of(value: Float[Tensor, ""], surrogate: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return a scalar with the value of `value` and the gradient of `surrogate`.

    Checks for divergence then see the value of the objective, not that of the surrogate.
    """
    return value.detach() + (surrogate - surrogate.detach())


def leave_one_out(values: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
    """Return b for each sample: the mean of `values` over the other samples of its row, which needs two or more.

    Source: Mnih and Rezende, 2016, section 2.2.
    """
    samples = values.shape[1]
    return (values.sum(dim=1, keepdim=True) - values) / (samples - 1)


class RunningMean(nn.Module):
    """The control variate b as a running mean, over batches, of the mean of l over a batch and all workers.

    It is 0 before the first batch and the plain mean of the first 10; from then on the newest batch has weight 0.1.
    """

    mean: Tensor
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor(0.0))
        self.steps = nn.Buffer(torch.tensor(0.0))

    @torch.no_grad()
    def add(self, values: Tensor) -> None:
        """Include the values l of a batch. Read b for this batch first: it must depend on earlier batches only."""
        new = values.mean()
        average_over_workers([new])
        self.steps += 1
        self.mean.lerp_(new, max(MOMENTUM, 1 / self.steps.item()))
