"""Adam's step and the clipping of gradients, each by one call for all tensors of a network.

torch.optim.Adam and clip_grad_norm_ list and group the tensors anew at each step. For a small network that takes longer
than the arithmetic. Here the tensors are listed once. The results equal torch's, bit for bit, and the state stays in
the optimiser, from which a checkpoint saves it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer


def fused_step(optimiser: Optimizer) -> Callable[[], object]:
    """Return a function that does the same as `optimiser.step`.

    For torch's Adam with fused=True and ordinary options it is a faster function, else `optimiser.step` itself. It may
    be used as long as the optimiser's parameters, hooks and state are not replaced; its learning rates may change.
    """
    return _FusedAdam(optimiser) if _is_plain(optimiser) else optimiser.step


@torch.no_grad()
def clip_gradients(parameters: Sequence[nn.Parameter], largest: float) -> None:
    """Scale all gradients by one factor so that their joint norm is at most `largest`, as clip_grad_norm_ does."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, torch.clamp(largest / (norm + 1e-6), max=1.0))


def _is_plain(optimiser: Optimizer) -> bool:
    """Return whether the optimiser is an Adam that _FusedAdam can replace.

    It must be torch's own class, fused, without amsgrad and hooks, with one group of parameters on one device and of
    one dtype.
    """
    if type(optimiser) is not Adam or len(optimiser.param_groups) != 1:
        return False
    (group,) = optimiser.param_groups
    is_hooked = optimiser._optimizer_step_pre_hooks or optimiser._optimizer_step_post_hooks
    is_of_one_kind = len({(p.device, p.dtype) for p in group["params"]}) == 1
    return bool(group["fused"]) and not group["amsgrad"] and not is_hooked and is_of_one_kind


class _FusedAdam:
    """The step of a fused Adam with ordinary options. The first step is torch's own, which creates the state."""

    def __init__(self, optimiser: Optimizer):
        self._optimiser = optimiser
        (self._group,) = optimiser.param_groups
        self._parameters: list[Tensor] = self._group["params"]
        self._moments: tuple[list[Tensor], list[Tensor]] | None = None

    @torch.no_grad()
    def __call__(self) -> None:
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        if self._moments is None or len(gradients) < len(self._parameters):
            self._optimiser.step()
            self._list_state()
            return
        group = self._group
        beta1, beta2 = group["betas"]
        self._count.add_(1)
        torch._fused_adam_(
            self._parameters,
            gradients,
            *self._moments,
            [],
            self._counts,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=group["maximize"],
        )

    def _list_state(self) -> None:
        """List the moments, and make the parameters' step counts views of one tensor, so that one call advances all."""
        states = [self._optimiser.state[p] for p in self._parameters]
        if self._moments is not None or not all(states):  # a parameter that had no gradient yet has no state
            return
        self._moments = [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states]
        self._count = torch.stack([s["step"] for s in states])
        self._counts = list(self._count.unbind())
        for state, count in zip(states, self._counts, strict=True):
            state["step"] = count
