"""The training engine: it plays a model's objectives on minibatches and yields reports.

Minimax play (theta descends, phi ascends, each by its own loss; Ryu, 2022, chapter 5):

    simultaneous   all gradients are taken at the same iterate (theta^k, phi^k), then all players move
    alternating    each player's gradient is taken after the player before it moved: (theta^k, phi^{k+1})
    multi-ascent   alternating, with a player that moves at each `every`-th minibatch only (n_dis)

    extragradient  a simultaneous step finds a point ahead; the gradients there move the players from where they stood
                   (Korpelevich, 1976; with Adam: Gidel et al., 2019)

A model with one objective is a game of one player. The unit of the budget is a minibatch: with n_dis = 5 the critic
moves at each minibatch, the generator at each fifth.

`fit` is a generator and has no callbacks: the caller iterates over the reports, and may save a checkpoint at each. To
stop training, stop iterating. Randomness is a function of (seed, stream, step), so (weights, optimisers, step) is all
that a resume needs.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_models.contracts import Loss, Objective, objectives_of
from gen_models.errors import ConfigError, DivergedError, unknown
from gen_models.noise import Noise
from gen_models.schedules import SCHEDULES
from gen_models.workers import average_over_workers


@runtime_checkable
class Batches(Protocol):
    """The source of minibatches; `at` is a pure function of the step, so that a resume finds its place."""

    def at(self, step: int) -> Tensor: ...


@dataclass
class Training:
    """The state that a resume needs: the model, an optimiser for each objective, and the last step that was done."""

    model: nn.Module
    optimisers: Mapping[str, Optimizer]
    step: int = 0


@dataclass(frozen=True)
class Report:
    """The mean of each term since the last report, and how often each player has moved so far.

    terms: {"critic.wasserstein": 0.3, ...}, averaged over workers
    """

    step: int
    terms: dict[str, float]
    moves: dict[str, int]


def fit(
    training: Training,
    batches: Batches,
    noise: Noise,
    *,
    steps: int,
    report_every: int,
    order: str = "alternating",
    clip_norm: float | None = None,
    schedule: str = "constant",
    horizon: int | None = None,
) -> Iterator[Report]:
    """Train from the step after training.step to `steps`; yield a report at each multiple of report_every, and last.

    When a report is yielded, `training` is at that step and may be saved.

    clip_norm  largest norm of each player's gradient; None: no clipping
    schedule   name of the factor on the learning rates, see schedules.py
    horizon    the step at which the schedule ends; None: `steps`. Give it if training stops before its planned end

    Raises DivergedError when a loss is not finite.
    """
    if order not in ORDERS:
        raise ConfigError(unknown("order of play", order, ORDERS))
    if schedule not in SCHEDULES:
        raise ConfigError(unknown("schedule", schedule, SCHEDULES))
    play, rate = ORDERS[order], SCHEDULES[schedule]
    objectives = objectives_of(training.model)
    window = _Window()
    training.model.train()
    for step in range(training.step + 1, steps + 1):
        x, draws = batches.at(step), noise.at(step)
        set_rates(training.optimisers, rate((step - 1) / (horizon or steps)))
        due = [objective for objective in objectives if step % objective.every == 0]
        for objective, loss in play(due, training.optimisers, x, draws, clip_norm).items():
            window.add(objective, loss, step)
        training.step = step
        if step % report_every == 0 or step == steps:
            yield Report(step, window.close(), {objective.name: step // objective.every for objective in objectives})
            training.model.train()


def set_rates(optimisers: Mapping[str, Optimizer], factor: float) -> None:
    """Set each optimiser's learning rate to `factor` times the rate with which it was built."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])


Optimisers = Mapping[str, Optimizer]
Losses = dict[Objective, Loss]


def alternating(
    due: Sequence[Objective], optimisers: Optimisers, x: Tensor, noise: Noise, clip: float | None
) -> Losses:
    """Take each player's gradient after the players before it have moved, and move it."""
    losses = {}
    for objective in due:
        losses[objective] = take_gradient(objective, x, noise, clip)
        move(objective, optimisers[objective.name])
    return losses


def simultaneous(
    due: Sequence[Objective], optimisers: Optimisers, x: Tensor, noise: Noise, clip: float | None
) -> Losses:
    """Take all gradients at one iterate, then move all players."""
    losses = {objective: take_gradient(objective, x, noise, clip) for objective in due}
    for objective in due:
        move(objective, optimisers[objective.name])
    return losses


def extragradient(
    due: Sequence[Objective], optimisers: Optimisers, x: Tensor, noise: Noise, clip: float | None
) -> Losses:
    """Look ahead by a simultaneous step, then move the players from where they stood by the gradients found there.

    Both steps use the same minibatch and the same draws. The returned losses are those where the players stood.
    """
    parameters = [parameter for objective in due for parameter in objective.module.parameters()]
    stood = [parameter.detach().clone() for parameter in parameters]
    losses = simultaneous(due, optimisers, x, noise, clip)
    for objective in due:
        take_gradient(objective, x, noise, clip)
    with torch.no_grad():
        for parameter, value in zip(parameters, stood, strict=True):
            parameter.copy_(value)
    for objective in due:
        move(objective, optimisers[objective.name])
    return losses


ORDERS: dict[str, Callable[..., Losses]] = {
    "alternating": alternating,
    "simultaneous": simultaneous,
    "extragradient": extragradient,
}


def take_gradient(objective: Objective, x: Tensor, noise: Noise, clip_norm: float | None = None) -> Loss:
    """Set the gradient of one objective's loss in its own parameters; average gradient and value over workers.

    `backward(inputs=...)` leaves the other players' parameters alone, so requires_grad need not be toggled.
    """
    parameters = [p for p in objective.module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.grad = None
    loss = objective.loss(x, noise)
    loss.value.backward(inputs=parameters)
    value = loss.value.detach().clone()
    average_over_workers([value, *(p.grad for p in parameters if p.grad is not None)])
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(parameters, clip_norm)
    return Loss(value, loss.terms)


def move(objective: Objective, optimiser: Optimizer) -> None:
    """Take one step of one player, then call its `after_step`, such as a projection."""
    optimiser.step()
    objective.after_step()


class _Window:
    """The running means of the terms since the last report."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, objective: Objective, loss: Loss, step: int) -> None:
        value = loss.value  # averaged over workers, so that all of them stop at the same step
        if not math.isfinite(value.item()):
            raise DivergedError(
                f"step {step}: the loss of objective {objective.name!r} is {value.item()}; "
                f"lower optim.{objective.name}.lr, or set clip_norm"
            )
        for name, term in loss.terms.items():
            key = f"{objective.name}.{name}"
            self.sums[key] = self.sums.get(key, torch.zeros_like(value)) + term.detach()
            self.counts[key] = self.counts.get(key, 0) + 1

    def close(self) -> dict[str, float]:
        keys = sorted(self.sums)
        if not keys:
            return {}
        means = torch.stack([self.sums[key] / self.counts[key] for key in keys])
        average_over_workers([means])
        self.sums, self.counts = {}, {}
        return dict(zip(keys, means.tolist(), strict=True))
