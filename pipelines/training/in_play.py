"""Sweeps and trainings in play: which tasks are ready to start, and what the end of a task makes ready.

This is the order of work and knows nothing of Ray: whoever trains asks `next_task`, and says `ended` for each task. A
round of a sweep's trials is ready when the round before it has ended. The trainings that use a sweep's best setting are
ready when the sweep is decided. Trainings come before trials, so that results appear early; otherwise tasks come in the
order in which they became ready.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from pipelines.training.run_log import RunLog
from pipelines.training.schedulers import rounds, sizes
from pipelines.training.sweep_plan import SweepPlan
from pipelines.training.task import Task
from pipelines.training.training_plan import TrainingPlan
from pipelines.training.trials import SweepError, choose

PlanTraining = Callable[[str, Mapping[str, Any]], TrainingPlan]  # (run, best setting) -> its training


@dataclass
class SweepInPlay:
    """A sweep whose trials are being trained. best: its best row when it is decided; error: why it cannot be decided"""

    plan: SweepPlan
    rounds: Iterator[tuple[list[Task], int]]
    open: set[str] = field(default_factory=set)  # the folders of the trials that the present round waits for
    until: int = 0
    best: dict[str, Any] | None = None
    error: str | None = None

    @property
    def is_over(self) -> bool:
        return self.best is not None or self.error is not None

    def advance(self) -> list[Task]:
        """Return the tasks of the next round that are not finished; [] if there is no further round."""
        for tasks, until in self.rounds:
            waiting = [replace(task, steps=until) for task in tasks if not RunLog(Path(task.folder)).is_finished(until)]
            if waiting:
                self.open, self.until = {task.folder for task in waiting}, until
                return waiting
        return []


class Play:
    """The tasks of sweeps and trainings, in the order in which they may start.

    sweeps: those to play; settings: {sweep: its best setting} for sweeps that were decided before
    trainings: {run: the sweep whose best setting it uses}; each is planned when that sweep is decided
    plan_training: returns the training of a run with a setting
    trains_apart: set it before the first task is asked for, if trainings need more than a task's one CPU: they are then
                  no tasks and wait in `apart`
    """

    def __init__(
        self,
        sweeps: Sequence[SweepPlan],
        trainings: Mapping[str, str],
        *,
        settings: Mapping[str, Mapping[str, Any]],
        plan_training: PlanTraining,
    ):
        self.sweeps = {plan.key: SweepInPlay(plan, rounds(plan.conf, plan.tasks)) for plan in sweeps}
        self.trainings: dict[str, TrainingPlan] = {}  # those that are planned, in the order in which they were
        self.errors: list[str] = []
        self.trains_apart = False
        self.total = sum(sum(sizes(plan.conf, len(plan.trials))) for plan in sweeps) + len(trainings)
        self.ended_tasks = 0
        self.running: dict[str, str] = {}  # {folder of a task: the sweep or run that it belongs to}
        self._waiting = dict(trainings)
        self._plan_training = plan_training
        self._ready_trainings: deque[tuple[str, Task]] = deque()
        self._ready_trials: deque[tuple[str, Task]] = deque()
        for key, setting in settings.items():
            self._release(key, setting)
        for sweep in self.sweeps.values():
            self._go_on(sweep)

    @property
    def is_over(self) -> bool:
        """Whether no task is running or ready, so that none will ever be."""
        return not self.running and not any(self._queues())

    @property
    def apart(self) -> list[TrainingPlan]:
        """The trainings that are ready and are no tasks."""
        return [self.trainings[run] for run, _ in self._ready_trainings] if self.trains_apart else []

    def next_task(self) -> Task | None:
        """Return a task that may start now and count it as running, or None if there is none."""
        for ready in self._queues():
            while ready:
                owner, task = ready.popleft()
                if owner in self.sweeps and self.sweeps[owner].error and task.is_trial:
                    continue  # another trial of this sweep failed
                self.running[task.folder] = owner
                return task
        return None

    def ended(self, task: Task, error: str | None = None) -> None:
        """Take note that a task ended. error: one line if it failed."""
        owner = self.running.pop(task.folder)
        self.ended_tasks += 1
        if error is None and not RunLog(Path(task.folder)).is_finished(task.steps):
            error = f"{task.folder} is not finished; run the same command to continue"
        if not task.is_trial:
            if error:
                self.errors.append(f"train {owner}: {error}")
            return
        sweep = self.sweeps[owner]
        sweep.open.discard(task.folder)
        if error and not sweep.error:
            self._fail(sweep, f"sweep {owner}: {error}")
        elif not sweep.open and not sweep.error:
            self._go_on(sweep)

    def words(self) -> str:
        """Return what runs and how many sweeps are decided, for the progress."""
        owners = sorted(set(self.running.values()))
        decided = sum(sweep.best is not None for sweep in self.sweeps.values())
        running = f"running {', '.join(owners)}" if owners else "running nothing"
        return f"{running}; {decided} of {len(self.sweeps)} sweeps decided" if self.sweeps else running

    def trials_ended(self, sweep: str) -> int:
        """Return how many trials of a sweep have ended for good or wait for the next round."""
        return len(self.sweeps[sweep].plan.trials) - len(self.sweeps[sweep].open)

    def _go_on(self, sweep: SweepInPlay) -> None:
        tasks = sweep.advance()
        self._ready_trials.extend((sweep.plan.key, task) for task in tasks)
        if tasks:
            return
        try:
            sweep.best = choose(sweep.plan.rows(), sweep.plan.key)
        except SweepError as error:
            self._fail(sweep, str(error))
            return
        self._release(sweep.plan.key, sweep.best["override"])

    def _fail(self, sweep: SweepInPlay, line: str) -> None:
        sweep.error = line
        self.errors.append(line)
        for run in [run for run, setting in self._waiting.items() if setting == sweep.plan.key]:
            del self._waiting[run]
            self.ended_tasks += 1

    def _release(self, sweep: str, setting: Mapping[str, Any]) -> None:
        """Plan the trainings that waited for a sweep; those that are not finished become ready."""
        for run in [run for run, needed in self._waiting.items() if needed == sweep]:
            del self._waiting[run]
            try:
                plan = self._plan_training(run, setting)
            except GenModelsError as error:
                self.errors.append(f"train {run}: {error}")
                continue
            if plan.is_collected() or plan.is_played():
                self.ended_tasks += 1
                continue
            self.trainings[run] = plan
            self._ready_trainings.append((run, plan.task))

    def _queues(self) -> list[deque[tuple[str, Task]]]:
        return [self._ready_trials] if self.trains_apart else [self._ready_trainings, self._ready_trials]
