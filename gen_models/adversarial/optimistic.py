"""Optimistic play: each player steps along a forecast of its next gradient, 2 g_k - g_{k-1}.

    w_{k+1} = w_k - eta (2 g_k - g_{k-1})                                   (OptimisticSGD)
    w_{k+1} = w_k - eta (2 d_k - d_{k-1}),   d_k = m_k/(sqrt(v_k) + eps)    (OptimisticAdam)

Source: Daskalakis, Ilyas, Syrgkanis and Zeng (2018), equation 3 and algorithm 1. w_k are a player's parameters at step
k, g_k is the gradient of its loss there, eta the learning rate, and m_k and v_k are Adam's moments. The forecast
assumes that the gradient changes again as it last changed. On the game L(x, y) = x y, plain simultaneous play spirals
out and optimistic play spirals in. It costs one gradient a step, where extragradient takes two. The first step has no
previous gradient and is a plain step.

Optimistic play is a kind of optimiser here, not an order of play of the engine, because the previous gradient or
direction belongs to one player: it is kept in the state of that player's optimiser and saved with a checkpoint. Under
simultaneous play the result is the paper's algorithm.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_positive


class _Optimistic(Optimizer):
    """An optimiser with the step w <- w - lr (2 d_k - d_{k-1}); a subclass defines the direction d_k."""

    def __init__(self, params: Iterable[nn.Parameter], defaults: dict[str, Any]):
        require_positive("lr", defaults["lr"])
        super().__init__(params, defaults)

    def direction(self, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        """Return the direction d_k for one parameter, given its gradient g_k, as a new tensor.

        state  what the optimiser keeps for the parameter; group: the settings of its parameter group
        """
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient by one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                d = self.direction(parameter.grad, state, group)
                before = state.get("previous", d)
                parameter.sub_(group["lr"] * (2 * d - before))
                state["previous"] = d
        return loss


class OptimisticSGD(_Optimistic):
    """Optimistic gradient descent: the direction is the gradient, d_k = g_k."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 1e-3):
        super().__init__(params, {"lr": lr})

    def direction(self, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        return gradient.clone()


class OptimisticAdam(_Optimistic):
    """Optimistic Adam: the direction is d_k = m_k/(sqrt(v_k) + eps), with moments corrected for their start at 0."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        for i, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ConfigError(f"betas[{i}] = {beta!r} cannot be used: give a number of at least 0, below 1")
        require_positive("eps", eps)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps})

    def direction(self, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        if "step" not in state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(gradient)
            state["exp_avg_sq"] = torch.zeros_like(gradient)
        state["step"] += 1
        beta_1, beta_2 = group["betas"]
        state["exp_avg"].lerp_(gradient, 1 - beta_1)
        state["exp_avg_sq"].lerp_(gradient.square(), 1 - beta_2)
        m = state["exp_avg"] / (1 - beta_1 ** state["step"])
        v = state["exp_avg_sq"] / (1 - beta_2 ** state["step"])
        return m / (v.sqrt() + group["eps"])
