"""The training engine: it moves the parameters of a model's objectives on minibatches and yields reports.

An objective is a player: a loss, and the parameters that descend it. Most models have one player; a GAN is a game of
two, a generator against a critic. With several players (in minimax, theta descends and phi ascends, each by its own
loss; Ryu, 2022, chapter 5) the order of play is one of these:

    simultaneous   all gradients are taken at the same iterate (theta^k, phi^k), then all players move
    alternating    each player's gradient is taken after the player before it moved: (theta^k, phi^{k+1})
    multi-ascent   alternating, with a player that moves at each `every`-th minibatch only (n_dis)

    extragradient  a simultaneous step leads to a point ahead; then the players return to where they were, and move by
                   the gradients found ahead (Korpelevich, 1976; with Adam: Gidel et al., 2019)

Training is measured in minibatches: with n_dis = 5 the critic moves at each minibatch, the generator at each fifth.

`fit` is a generator and has no callbacks: the caller iterates over the reports, and may save a checkpoint at each. To
stop training, stop iterating. Randomness is a function of (seed, stream, step, row), so (weights, optimisers, step) is
all that a resume needs.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_models import names
from gen_models.contracts import Loss, Objective, objectives_of
from gen_models.errors import ConfigError, DivergedError, unknown
from gen_models.fused import clip_gradients, fused_step
from gen_models.noise import Noise
from gen_models.schedules import SCHEDULES
from gen_models.workers import average_over_workers, world_size


@runtime_checkable
class Batches(Protocol):
    """The source of minibatches: `at` depends on the step only, so a resumed training gets the same minibatches."""

    def at(self, step: int) -> Tensor: ...


@dataclass
class Training:
    """The state that a resume needs: the model, an optimiser for each objective, and the last step that was done."""

    model: nn.Module
    optimisers: Mapping[str, Optimizer]
    step: int = 0


@dataclass(frozen=True)
class Report:
    """What training reports at a step: the means of losses' terms, and how often each player has moved so far.

    terms  {"critic.wasserstein": 0.3, ...}, by objective and term: means since the last report, averaged over workers
    moves  {"critic": 100, ...}, by objective
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
    report_also: Collection[int] = (),
    order: str = "alternating",
    clip_norm: float | None = None,
    schedule: str = "constant",
    horizon: int | None = None,
) -> Iterator[Report]:
    """Train from the step after training.step to `steps`; yield a report every `report_every` steps and at the end.

    When a report is yielded, `training` is at that step and may be saved.

    report_also  further steps with a report
    order        order of play: alternating, simultaneous or extragradient
    clip_norm    largest norm of each player's gradient; None: no clipping
    schedule     name of the learning-rate schedule, see schedules.py
    horizon      the step at which the schedule ends; None: `steps`. Give it if training stops before its planned end

    Raises ConfigError for an unknown order or schedule, and DivergedError when a loss is not finite.
    """
    if order not in ORDERS:
        raise ConfigError(unknown("order of play", order, ORDERS))
    if schedule not in SCHEDULES:
        raise ConfigError(unknown("schedule", schedule, SCHEDULES))
    play, rate = ORDERS[order], SCHEDULES[schedule]
    objectives = objectives_of(training.model)
    players = [Player.of(objective, training) for objective in objectives]
    window = _Window()
    training.model.train()
    factor = None
    for step in range(training.step + 1, steps + 1):
        x, draws = batches.at(step), noise.at(step)
        if (now := rate((step - 1) / (horizon or steps))) != factor:
            factor = now
            set_rates(training.optimisers, factor)
        due = [player for player in players if step % player.objective.every == 0]
        try:
            losses = play(due, x, draws, clip_norm)
        except Exception:
            window.check()  # if a loss was not finite some steps ago, that is the cause: raise DivergedError instead
            raise
        for player, loss in zip(due, losses, strict=True):
            window.add(player.objective, loss, step)
        training.step = step
        if step % report_every == 0 or step in report_also or step == steps:
            yield Report(step, window.close(), {objective.name: step // objective.every for objective in objectives})
            training.model.train()
            factor = None  # whoever took the report may have set other rates, or another state of an optimiser
            players = [Player.of(objective, training) for objective in objectives]
        elif window.is_long:
            window.check()


def set_rates(optimisers: Mapping[str, Optimizer], factor: float) -> None:
    """Set each optimiser's learning rate to `factor` times the rate with which it was built."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])


@dataclass(frozen=True)
class Player:
    """An objective, the function that makes its optimiser take a step, and the parameters that it moves.

    The parameters are listed once and not at each step.

    is_alone  whether no other parameters of the model require a gradient
    """

    objective: Objective
    step: Callable[[], object]
    parameters: tuple[nn.Parameter, ...]
    is_alone: bool = False

    @staticmethod
    def of(objective: Objective, training: Training) -> "Player":
        """Return the player of an objective, with the parameters that require a gradient now."""
        parameters = tuple(p for p in objective.module.parameters() if p.requires_grad)
        is_alone = len(parameters) == sum(p.requires_grad for p in training.model.parameters())
        return Player(objective, fused_step(training.optimisers[objective.name]), parameters, is_alone)

    def take_gradient(self, x: Tensor, noise: Noise, clip_norm: float | None = None) -> Loss:
        """Set the gradient of the loss in the player's own parameters; average gradient and value over workers.

        With several players, `backward(inputs=...)` leaves the gradients of the others alone, so requires_grad need not
        be toggled. A single player calls `backward()` without inputs, which is faster. Return the loss, its value
        detached.
        """
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.objective.loss(x, noise)
        loss.value.backward(inputs=None if self.is_alone else self.parameters)
        value = loss.value.detach()
        if world_size() > 1:
            value = value.clone()
            average_over_workers([value, *(p.grad for p in self.parameters if p.grad is not None)])
        if clip_norm is not None:
            clip_gradients(self.parameters, clip_norm)
        return Loss(value, loss.terms)

    def move(self) -> None:
        """Take one step of the optimiser, then call the objective's `after_step`, such as a projection."""
        self.step()
        self.objective.after_step()


def alternating(due: Sequence[Player], x: Tensor, noise: Noise, clip: float | None) -> list[Loss]:
    """Let each player in turn take its gradient and move, so that later players see the moves of earlier ones.

    `due` are the players that move at this minibatch x; `clip` is clip_norm. Returns the players' losses.
    """
    losses = []
    for player in due:
        losses.append(player.take_gradient(x, noise, clip))
        player.move()
    return losses


def simultaneous(due: Sequence[Player], x: Tensor, noise: Noise, clip: float | None) -> list[Loss]:
    """Take the gradients of all players before any of them moves, then move all.

    Arguments and result are those of `alternating`.
    """
    losses = [player.take_gradient(x, noise, clip) for player in due]
    for player in due:
        player.move()
    return losses


def extragradient(due: Sequence[Player], x: Tensor, noise: Noise, clip: float | None) -> list[Loss]:
    """Look ahead by a simultaneous step; then move the players from where they were by the gradients found ahead.

    Both steps use the same minibatch and the same draws. The returned losses are those before the look ahead. Arguments
    are those of `alternating`.
    """
    parameters = [parameter for player in due for parameter in player.parameters]
    stood = [parameter.detach().clone() for parameter in parameters]
    losses = simultaneous(due, x, noise, clip)
    for player in due:
        player.take_gradient(x, noise, clip)
    with torch.no_grad():
        for parameter, value in zip(parameters, stood, strict=True):
            parameter.copy_(value)
    for player in due:
        player.move()
    return losses


ORDERS: dict[str, Callable[..., list[Loss]]] = {
    "alternating": alternating,
    "simultaneous": simultaneous,
    "extragradient": extragradient,
}
assert tuple(ORDERS) == names.ORDERS


class _Window:
    """The losses and terms since the last report, which stay on the device until they are needed.

    Reading a number from a device makes the program wait for all work that the device still has to do. So numbers are
    read only once for each report. A loss that was not finite in between is found then, and raised with its step.
    """

    LONG = 1000  # losses after which they are read without a report, so that a divergence soon ends the training

    def __init__(self) -> None:
        self._steps: list[tuple[int, str]] = []
        self._values: list[Tensor] = []
        self._terms: dict[str, list[Tensor]] = {}
        self._means: dict[str, tuple[Tensor, int]] = {}

    def add(self, objective: Objective, loss: Loss, step: int) -> None:
        self._steps.append((step, objective.name))
        self._values.append(loss.value)  # averaged over workers, so that all of them stop at the same step
        for name, term in loss.terms.items():
            kept = term.detach().clone()  # some terms are running values, which later steps change
            self._terms.setdefault(f"{objective.name}.{name}", []).append(kept)

    @property
    def is_long(self) -> bool:
        return len(self._values) >= self.LONG

    def check(self) -> None:
        """Raise DivergedError at the first loss that is not finite; else add the terms to their sums."""
        if not self._values:
            return
        values = torch.stack(self._values)
        if not bool(values.isfinite().all()):
            first = int((~values.isfinite()).nonzero()[0])
            step, name = self._steps[first]
            raise DivergedError(
                f"step {step}: the loss of objective {name!r} is {values[first].item()}; "
                f"lower optim.{name}.lr, or set clip_norm"
            )
        for key, terms in self._terms.items():
            total, count = self._means.get(key, (torch.zeros_like(terms[0]), 0))
            self._means[key] = (total + torch.stack(terms).sum(), count + len(terms))
        self._steps, self._values, self._terms = [], [], {}

    def close(self) -> dict[str, float]:
        self.check()
        keys = sorted(self._means)
        if not keys:
            return {}
        means = torch.stack([self._means[key][0] / self._means[key][1] for key in keys])
        average_over_workers([means])
        self._means = {}
        return dict(zip(keys, means.tolist(), strict=True))
