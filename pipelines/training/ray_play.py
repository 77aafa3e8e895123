"""Plays jobs on a Ray cluster, shows what runs, and sends trainings to MLflow while they run."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines import tracking
from pipelines.config.params import Run
from pipelines.report import live
from pipelines.runtime import paths
from pipelines.runtime.progress import Progress
from pipelines.training.follower import Follower
from pipelines.training.in_play import Play
from pipelines.training.initial_model import build_training
from pipelines.training.live_states import states
from pipelines.training.ray_cluster import cluster, gpus
from pipelines.training.ray_train import fit, fit_workers
from pipelines.training.ray_tune import tune
from pipelines.training.run_log import RunLog
from pipelines.training.schedulers import asha_arguments
from pipelines.training.sweep import summary
from pipelines.training.sweep_plan import SweepPlan
from pipelines.training.training_plan import TrainingPlan

PAGE = "live"  # the folder of the page that fills while runs are trained
SECONDS_BETWEEN_PAGES = 4.0


def play_jobs(game: Play, workers: int, runs: Sequence[Run], storage: str | None = None) -> None:
    """Do all jobs of a play. workers: how many processes share each minibatch of a training; runs: those on the page

    storage: the URI through which jobs are carried, or None if all machines see the project folder

    With more than one worker, or with GPUs, Ray Train runs the trainings, one after the other; else a training is a job
    like a trial, and has the same result.
    """
    check(game)
    with watching(game, runs) as watch, cluster(sends_code=storage is not None) as ray:
        game.trains_apart = workers > 1 or gpus(ray) > 0
        tune(ray, game, meanwhile=watch, storage=storage)
        for training in game.apart:
            fit_workers(ray, training.key, training.task, workers, meanwhile=watch, storage=storage)
            game.trained(training)
        tune(ray, game, meanwhile=watch, storage=storage)


def play_training(plan: TrainingPlan, storage: str | None = None) -> None:
    """Train one run with Ray Train, and follow it in MLflow. Raises TrainingError if it fails."""
    build_training(plan.task.conf, plan.task.seed)  # refuses a conf that cannot be built before a cluster starts
    progress = Progress(f"train {plan.key}", plan.task.steps, "step")
    name = f"validation.{plan.task.conf['metric']}"
    follower = Follower(plan)

    def watch() -> None:
        if line := follower.catch_up():
            progress.show(line["step"], f"{name} {line['metrics'][name]:.4g}")

    with ending(follower.finish):
        fit(plan.key, plan.task, plan.workers, watch, storage=storage)
        watch()
    progress.close()


def play_asha(plan: SweepPlan, game: Play, storage: str | None = None) -> None:
    """Train the trials of one sweep until Ray's scheduler stops them, and mark those that it stopped.

    Ray's scheduler compares all trials that it sees, so a sweep that uses it is played alone.
    """
    from ray.tune.schedulers import ASHAScheduler

    check(game)
    steps = plan.conf["budget"]["trial_steps"]
    with watching(game, []) as watch, cluster(sends_code=storage is not None) as ray:
        scheduler = ASHAScheduler(**asha_arguments(plan.conf, steps))
        tune(ray, game, meanwhile=watch, scheduler=scheduler, storage=storage)
    for log in (RunLog(Path(task.folder)) for task in plan.tasks):
        if log.history() and not log.is_finished(steps):
            log.stop()


def check(game: Play) -> None:
    """Raise ConfigError for a setting that cannot be built, before a cluster starts."""
    for sweep in game.sweeps.values():
        for task in [] if sweep.is_over else sweep.plan.tasks:
            build_training(task.conf, task.seed)


class Watch:
    """Shows what is in play and sends it to MLflow; it is called every fraction of a second."""

    def __init__(self, game: Play, runs: Sequence[Run]):
        self._game, self._runs = game, runs
        self._page = paths.root() / PAGE
        self._page_is_due = 0.0
        self._progress = Progress("play", game.total, "job")
        self._followers: dict[str, Follower] = {}
        self._told: set[str] = set()

    def __call__(self) -> None:
        for key, sweep in self._game.sweeps.items():
            if sweep.best is not None and key not in self._told:
                self._told.add(key)
                rows = sweep.plan.rows()
                self._progress.line(summary(sweep.plan, sweep.best, len(rows)))
                tracking.record_sweep(key, sweep.plan.lineage, rows)
        for key, plan in list(self._game.trainings.items()):
            if plan.log.history_path.is_file():
                self._follow(key, plan)
        self._progress.show(self._game.ended_jobs, self._game.words())
        if self._runs and time.monotonic() > self._page_is_due:
            self._write_page()

    def end(self, status: str) -> None:
        """Record how it ended for the trainings that have not ended: KILLED or FAILED."""
        for follower in self._followers.values():
            if not follower.is_over:
                follower.finish("FAILED" if status == "FINISHED" else status)
        if self._runs:
            self._write_page()
        self._progress.close()

    def _write_page(self) -> None:
        if not self._page_is_due:
            self._progress.line(f"play: {self._page / 'index.html'} fills as results come")
        live.write(self._page, states(self._game, self._runs))
        self._page_is_due = time.monotonic() + SECONDS_BETWEEN_PAGES

    def _follow(self, key: str, plan: TrainingPlan) -> None:
        if key not in self._followers:
            self._followers[key] = Follower(plan)
        follower = self._followers[key]
        if follower.is_over:
            return
        follower.catch_up()
        if plan.task.folder not in self._game.running and plan.is_played():
            follower.finish("FINISHED")
            last = plan.log.history()[-1]
            name = f"validation.{plan.task.conf['metric']}"
            what = last.get("diverged") or f"{name} {last['metrics'][name]:.4g} after {last['step']} steps"
            self._progress.line(f"train {key}: {what}")


@contextmanager
def watching(game: Play, runs: Sequence[Run]) -> Iterator[Watch]:
    """Yield a watch, let it see the end, and let it record how the block ended."""
    watch = Watch(game, runs)
    with ending(watch.end):
        yield watch
        watch()


@contextmanager
def ending(end: Callable[[str], None]) -> Iterator[None]:
    """Call `end` with how the block ended, as the status of a run in MLflow: FINISHED, KILLED or FAILED."""
    try:
        yield
    except BaseException as error:
        end("KILLED" if isinstance(error, (SystemExit, KeyboardInterrupt)) else "FAILED")
        raise
    end("FINISHED")
