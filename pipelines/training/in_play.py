"""Says which jobs of a play may start now, and which become ready when a job ends.

A play is the work for some sweeps and runs. A job is one trial, training or evaluation. Nothing here knows Ray: whoever
does the jobs gets each of them from `next_job`, and calls `ended` when the job has ended.

A round of a sweep's trials is ready when the round before it has ended. The trainings that use a sweep's best setting
are ready when the sweep is decided, and the evaluation of a run is ready when its training has ended. Of the jobs that
are ready, evaluations come first, then trainings, then trials, so that results appear early. Jobs of one kind come in
the order in which they became ready, but the trials of a sweep that has begun come before those of a sweep that has
not.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from pipelines.evaluation.evaluation_plan import EvaluationPlan
from pipelines.runtime import paths
from pipelines.training.course import Course
from pipelines.training.run_log import RunLog
from pipelines.training.sweep_plan import SweepPlan
from pipelines.training.task import Task
from pipelines.training.training_plan import TrainingPlan
from pipelines.training.trials import SweepError, choose

TRIAL, TRAINING, EVALUATION = "sweep", "train", "evaluate"  # kinds of jobs, and the stages that collect them


@dataclass(frozen=True)
class Job:
    """A trial, a training or an evaluation that may start.

    kind: TRIAL, TRAINING or EVALUATION; owner: the name of the sweep or run to which the job belongs
    folder: where in work/ the result will be; configuration: what a worker needs to do the job, as plain data
    is_done: returns whether the job has done its work; a job that ends before that counts as failed
    """

    kind: str
    owner: str
    folder: str
    configuration: dict[str, Any]
    is_done: Callable[[], bool]


@dataclass
class SweepInPlay:
    """A sweep whose trials are being trained.

    rounds: the rounds that were not walked yet; best: the row of its best trial, once the sweep is decided
    error: why the sweep cannot be decided, or None
    planned: how many trials its rounds train, as far as this is known before any
    walked: how many the rounds so far train; queued: those of them that were not trained before and became jobs
    """

    plan: SweepPlan
    course: Course  # as far as it was walked
    rounds: Iterator[tuple[list[Task], int]]
    planned: int
    walked: int = 0
    queued: int = 0
    open: set[str] = field(default_factory=set)  # the folders of the trials that the present round waits for
    best: dict[str, Any] | None = None
    error: str | None = None
    has_begun: bool = False

    @property
    def is_over(self) -> bool:
        return self.best is not None or self.error is not None

    def advance(self) -> list[Task]:
        """Walk to the next round that has unfinished tasks, and return these tasks; [] if there is no such round."""
        for tasks, until in self.rounds:
            waiting = [replace(task, steps=until) for task in tasks if not RunLog(Path(task.folder)).is_finished(until)]
            self.queued += len(waiting)
            self.walked += len(tasks)
            if waiting:
                self.open = {task.folder for task in waiting}
                return waiting
        return []


class Play:
    """The jobs of sweeps and runs, in the order in which they may start.

    sweeps: the plans of the sweeps to play
    runs: {run: the sweep whose best setting it uses}; a run's training is planned when that sweep is decided
    settings: {sweep: its best setting} for sweeps that were decided before
    plan_training: returns the plan of a run's training, given the run and the setting
    plan_evaluation: returns the plan of a run's evaluation, given the run and the folder of its training

    If trainings need several workers, set the attribute trains_apart before the first `next_job`. All trainings are
    then listed in `apart`, for the caller to do, and `next_job` returns none of them.
    """

    def __init__(
        self,
        sweeps: Sequence[SweepPlan],
        runs: Mapping[str, str],
        *,
        settings: Mapping[str, Mapping[str, Any]],
        plan_training: Callable[[str, Mapping[str, Any]], TrainingPlan],
        plan_evaluation: Callable[[str, Path], EvaluationPlan],
    ):
        self.sweeps: dict[str, SweepInPlay] = {}
        for plan in sweeps:
            course = plan.course()
            self.sweeps[plan.key] = SweepInPlay(plan, course, course.rounds(), sum(course.sizes()))
        self.trainings: dict[str, TrainingPlan] = {}  # those that were not finished when they were planned
        self.trained_in: dict[str, Path] = {}  # {run: the folder of its training}
        self.evaluations: dict[str, EvaluationPlan] = {}
        self.errors: list[str] = []
        self.diverged: dict[str, str] = {}  # {run: why its training diverged}
        self.failed: set[str] = set()  # the runs that will have no result, those that diverged among them
        self.trains_apart = False
        self.running: dict[str, Job] = {}  # by folder
        self.ended_jobs = 0
        self.took: list[tuple[str, str, int, str, float]] = []  # (kind, owner, round, sweep, seconds) of each ended job
        self._began: dict[str, float] = {}
        self._rounds: dict[str, int] = {}
        self._waiting = dict(runs)
        self._setting_of = dict(runs)
        self._plan_training, self._plan_evaluation = plan_training, plan_evaluation
        self._ready: dict[str, deque[Job]] = {kind: deque() for kind in (EVALUATION, TRAINING, TRIAL)}
        for key, setting in settings.items():
            self._release(key, setting)
        for sweep in self.sweeps.values():
            self._go_on(sweep)

    @property
    def is_over(self) -> bool:
        """Whether no job is running, and `next_job` has none to return."""
        return not self.running and not any(self._queues())

    @property
    def total(self) -> int:
        """How many jobs there are, those that ended among them, as far as is known.

        A round of a sweep may have fewer or more trials than was expected before the round.
        """
        to_come = sum(max(0, sweep.planned - sweep.walked) for sweep in self.sweeps.values() if not sweep.is_over)
        return 2 * len(self._setting_of) + to_come + sum(sweep.queued for sweep in self.sweeps.values())

    @property
    def apart(self) -> list[TrainingPlan]:
        """The trainings that are ready to start and that `next_job` does not return; [] unless trains_apart is set."""
        return [self.trainings[job.owner] for job in self._ready[TRAINING]] if self.trains_apart else []

    def next_job(self) -> Job | None:
        """Return a job that may start now, and count it as running; None if there is no such job now."""
        ready = next(filter(None, self._queues()), None)
        if ready is None:
            return None
        job = ready.popleft()
        self.running[job.folder] = job
        self._began[job.folder] = time.monotonic()
        return job

    def ended(self, job: Job, error: str | None = None) -> None:
        """Take note that a job has ended, and make ready the jobs that waited for it.

        error: one line that says why the job failed, or None
        """
        del self.running[job.folder]
        self.ended_jobs += 1
        self._note(job)
        if error is None and not job.is_done():
            error = f"{job.folder} is not finished; run the same command to continue"
        if job.kind == TRIAL:
            self._trial_ended(self.sweeps[job.owner], job, error)
        elif error:
            self.errors.append(f"{job.kind} {job.owner}: {error}")
            self.failed.add(job.owner)
            self.ended_jobs += job.kind == TRAINING  # its evaluation will not come
        elif job.kind == TRAINING:
            self.trained(self.trainings[job.owner])

    def trained(self, plan: TrainingPlan) -> None:
        """Take note that a training has ended: the evaluation of its run becomes ready.

        If the training diverged, its run counts as failed instead, for the reason in `diverged`.
        """
        for job in [job for job in self._ready[TRAINING] if job.owner == plan.key]:  # one that was done apart
            self._ready[TRAINING].remove(job)
            self.ended_jobs += 1
        if plan.is_collected():
            self._evaluate(plan.key, paths.out("train", plan.key))
        elif (reason := plan.log.diverged()) is None:
            self._evaluate(plan.key, plan.seal())
        else:
            self.diverged[plan.key] = reason
            self.ended_jobs += 1
            self.failed.add(plan.key)

    def words(self) -> str:
        """Return a line for the display of progress: which jobs run, and how many sweeps are decided."""
        counts: dict[tuple[str, str], int] = {}
        for job in list(self.running.values()):  # another thread may start and end jobs meanwhile
            counts[job.kind, job.owner] = counts.get((job.kind, job.owner), 0) + 1
        names = [f"{kind} {owner}" + (f" x{count}" if count > 1 else "") for (kind, owner), count in counts.items()]
        idle = "all done" if self.ended_jobs >= self.total else "nothing runs"
        running = f"now {', '.join(names)}" if names else idle
        decided = sum(sweep.best is not None for sweep in self.sweeps.values())
        return running + (f"; {decided} of {len(self.sweeps)} sweeps decided" if self.sweeps else "")

    def _note(self, job: Job) -> None:
        """Add to `took` how long a job took, for people who want to know where the time went."""
        number = self._rounds.get(job.owner, 1) - 1 if job.kind == TRIAL else 0
        sweep = job.owner if job.kind == TRIAL else self._setting_of.get(job.owner, "")
        self.took.append((job.kind, job.owner, number, sweep, round(time.monotonic() - self._began[job.folder], 3)))

    def _queues(self) -> list[deque[Job]]:
        return [ready for kind, ready in self._ready.items() if kind != TRAINING or not self.trains_apart]

    def _trial_ended(self, sweep: SweepInPlay, job: Job, error: str | None) -> None:
        sweep.open.discard(job.folder)
        if error and not sweep.error:
            self._fail(sweep, f"sweep {job.owner}: {error}")
        elif not sweep.open and not sweep.error:
            self._go_on(sweep)

    def _go_on(self, sweep: SweepInPlay) -> None:
        try:
            tasks = sweep.advance()
        except GenModelsError as error:
            self._fail(sweep, f"sweep {sweep.plan.key}: {error}")
            return
        jobs = [training_job(TRIAL, sweep.plan.key, task) for task in tasks]
        if sweep.plan.conf["sweep"]["scheduler"] == "asha":  # Ray's scheduler may end a trial before its last step
            jobs = [replace(job, is_done=lambda: True) for job in jobs]
        if sweep.has_begun:  # a sweep that was begun is decided before another begins
            self._ready[TRIAL].extendleft(reversed(jobs))
        else:
            self._ready[TRIAL].extend(jobs)
        sweep.has_begun = True
        if tasks:
            self._rounds[sweep.plan.key] = self._rounds.get(sweep.plan.key, 0) + 1
            return
        try:
            sweep.best = choose(sweep.plan.rows(), sweep.plan.key)
        except SweepError as error:
            self._fail(sweep, str(error))
            return
        self._release(sweep.plan.key, {**sweep.plan.fixed, **sweep.best["override"]})

    def _fail(self, sweep: SweepInPlay, line: str) -> None:
        sweep.error = line
        self.errors.append(line)
        for job in [job for job in self._ready[TRIAL] if job.owner == sweep.plan.key]:
            self._ready[TRIAL].remove(job)
            sweep.queued -= 1
        for run in [run for run, setting in self._waiting.items() if setting == sweep.plan.key]:
            del self._waiting[run]
            self.ended_jobs += 2
            self.failed.add(run)

    def _release(self, sweep: str, setting: Mapping[str, Any]) -> None:
        """Plan the trainings that waited for a sweep; those that are not finished yet become ready to start."""
        for run in [run for run, needed in self._waiting.items() if needed == sweep]:
            del self._waiting[run]
            try:
                plan = self._plan_training(run, setting)
            except GenModelsError as error:
                self.errors.append(f"train {run}: {error}")
                self.ended_jobs += 2
                self.failed.add(run)
                continue
            self.trained_in[run] = plan.log.folder
            if plan.is_collected() or plan.is_played():
                self.ended_jobs += 1
                self.trained(plan)
            else:
                self.trainings[run] = plan
                self._ready[TRAINING].append(training_job(TRAINING, run, plan.task))

    def _evaluate(self, run: str, trained: Path) -> None:
        plan = self.evaluations[run] = self._plan_evaluation(run, trained)
        self.trained_in[run] = trained
        if plan.is_collected() or plan.is_played():
            self.ended_jobs += 1
            return
        configuration = {"run": asdict(plan.run), "arguments": plan.arguments}
        job = Job(EVALUATION, run, str(plan.folder), {"evaluation": configuration}, plan.is_played)
        self._ready[EVALUATION].append(job)


def training_job(kind: str, owner: str, task: Task) -> Job:
    """Return the job that trains a task.

    kind: TRIAL or TRAINING; owner: the name of the sweep or run to which the task belongs
    """
    log = RunLog(Path(task.folder))
    return Job(kind, owner, task.folder, {"task": task.as_json()}, lambda: log.is_finished(task.steps))
