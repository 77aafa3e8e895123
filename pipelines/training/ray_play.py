"""Plays jobs (trials, trainings, evaluations) on a Ray cluster, shows what runs, and sends results to MLflow."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gen_models.errors import ConfigError
from gen_models.files import replacing
from pipelines import tracking
from pipelines.config.params import Params, Run, params
from pipelines.report import live
from pipelines.runtime import paths
from pipelines.runtime.progress import Progress
from pipelines.training.follower import Follower
from pipelines.training.in_play import TRIAL, Play
from pipelines.training.initial_model import build_training
from pipelines.training.live_states import states
from pipelines.training.ray_cluster import cluster
from pipelines.training.ray_preflight import note, preflight
from pipelines.training.ray_resources import Resources, resources_for
from pipelines.training.ray_train import fit_workers
from pipelines.training.ray_tune import tune
from pipelines.training.run_log import RunLog
from pipelines.training.schedulers import asha_arguments
from pipelines.training.sweep import summary
from pipelines.training.sweep_plan import SweepPlan
from pipelines.training.training_plan import TrainingPlan

TOOK = "played.json"  # how long each job of the last play took
PAGE = "live"  # the folder of the page that fills while runs are trained
SECONDS_BETWEEN_PAGES = 4.0


def play_jobs(game: Play, asked: Params, runs: Sequence[Run]) -> None:
    """Do all trials, trainings and evaluations of `game`.

    game: the jobs, each of which may start when those that it needs have ended; asked: params.yaml; runs: the runs on
    the page live/index.html

    With several workers, Ray Train does the trainings, one after the other. With one worker, Ray Tune does them
    together with the trials, with the same result as Ray Train.
    """
    storage = asked.storage
    check(game)
    with watching(game, runs) as watch, cluster(sends_code=storage is not None) as ray:
        resources = ready(ray, asked, game)
        game.trains_apart = asked.workers > 1
        tune(ray, game, meanwhile=watch, storage=storage, resources=resources)
        for training in game.apart:
            fit_workers(
                ray, training.key, training.task, asked.workers, meanwhile=watch, storage=storage, resources=resources
            )
            game.trained(training)
        tune(ray, game, meanwhile=watch, storage=storage, resources=resources)
    with replacing(paths.work(TOOK)) as file:
        file.write(json.dumps(game.took).encode())


def play_training(plan: TrainingPlan, storage: str | None = None) -> None:
    """Train one run with Ray Train, and send its numbers to MLflow meanwhile. Raises TrainingError if it fails.

    storage: the URI through which machines without the project folder read and write the files of the training; None if
    all machines have the folder
    """
    build_training(plan.task.conf, plan.task.seed)  # refuses a conf that cannot be built before a cluster starts
    progress = Progress(f"train {plan.key}", plan.task.steps, "step")
    name = f"validation.{plan.task.conf['metric']}"
    follower = Follower(plan)

    def watch() -> None:
        if line := follower.catch_up():
            progress.show(line["step"], f"{name} {line['metrics'][name]:.4g}")

    with ending(follower.finish):
        with cluster(sends_code=storage is not None) as ray:
            resources = ready(ray, params())
            fit_workers(ray, plan.key, plan.task, plan.workers, meanwhile=watch, storage=storage, resources=resources)
        watch()
    progress.close()


def play_asha(plan: SweepPlan, game: Play, asked: Params) -> None:
    """Train the trials of one sweep until they end or Ray's scheduler stops them; mark those that it stopped.

    game: the play of this sweep alone, since Ray's scheduler compares all trials that it sees; asked: params.yaml
    """
    check(game)
    steps = plan.conf["budget"]["trial_steps"]
    with watching(game, []) as watch, cluster(sends_code=asked.storage is not None) as ray:
        from ray.tune.schedulers import ASHAScheduler  # Ray reads its settings, which `cluster` makes, when imported

        resources = ready(ray, asked, game)
        scheduler = ASHAScheduler(**asha_arguments(plan.conf, steps))
        tune(ray, game, meanwhile=watch, scheduler=scheduler, storage=asked.storage, resources=resources)
    for log in (RunLog(Path(task.folder)) for task in plan.tasks):
        if log.history() and not log.is_finished(steps):
            log.stop()


def check(game: Play) -> None:
    """Raise ConfigError if the model or the optimisers of a trial in a sweep's first round cannot be built.

    This is called before a cluster starts.
    """
    for sweep in game.sweeps.values():
        for task in [] if sweep.is_over else sweep.plan.tasks:
            build_training(task.conf, task.seed)


def ready(ray: Any, asked: Params, game: Play | None = None) -> Resources:
    """Return what jobs get on a cluster, after all checks of the cluster have passed.

    ray: the module, connected to the cluster; asked: params.yaml
    game: the play, or None. Each batch of its sweeps must divide evenly among the workers of a trial.

    Raises an error of one line if a check fails.
    """
    resources = resources_for(ray, asked, note)
    preflight(ray, asked, resources)
    workers = resources.share(TRIAL).workers
    for sweep in game.sweeps.values() if game and workers > 1 else ():
        for task in [] if sweep.is_over else sweep.plan.tasks:
            if task.conf["batch_size"] % workers:
                raise ConfigError(
                    f"conf/cluster/{asked.cluster}.yaml: trial.workers: {workers} does not divide the batch_size "
                    f"{task.conf['batch_size']} of sweep {sweep.plan.key}; write 1"
                )
    return resources


class Watch:
    """Shows the progress of a play and sends results to MLflow. The driver calls it every fraction of a second."""

    def __init__(self, game: Play, runs: Sequence[Run]):
        self._game, self._runs = game, runs
        self._page = paths.root() / PAGE
        self._page_is_due = 0.0
        self._progress = Progress("play", game.total, "job")
        self._followers: dict[str, Follower] = {}
        self._told: set[str] = set()
        self._at: dict[str, int] = {}  # the last step that each training in work has reported

    def __call__(self) -> None:
        for key, sweep in self._game.sweeps.items():
            if sweep.best is not None and key not in self._told:
                self._told.add(key)
                rows = sweep.plan.rows()
                self._progress.line(summary(sweep.plan, sweep.best, rows))
                tracking.record_sweep(key, sweep.plan.lineage, rows)
        for key, plan in list(self._game.trainings.items()):
            if plan.log.history_path.is_file():
                self._follow(key, plan)
        steps = [f"{key} is at step {step} of {self._game.trainings[key].task.steps}" for key, step in self._at.items()]
        self._progress.show(self._game.ended_jobs, "; ".join([self._game.words(), *steps]), self._game.total)
        if self._runs and time.monotonic() > self._page_is_due:
            self._write_page()

    def end(self, status: str) -> None:
        """Record in MLflow how the trainings ended that are not over, write the page, and end the display of progress.

        status: how the play ended. These trainings get KILLED if it is KILLED, else FAILED.
        """
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
        if line := follower.catch_up():
            self._at[key] = line["step"]
        if plan.task.folder not in self._game.running and plan.is_played():
            follower.finish("FINISHED")
            self._at.pop(key, None)
            self._progress.line(f"train {key}: {end_of(plan.log.history(), plan.task.conf)}")


def end_of(history: Sequence[Mapping[str, Any]], conf: Mapping[str, Any]) -> str:
    """Return in words which model a training kept: the model's step, and its validation metric.

    If the training diverged, return why.

    history: the lines of its run log, one for each report; conf: its composed configuration
    """
    last, name = history[-1], f"validation.{conf['metric']}"
    if "diverged" in last:
        return last["diverged"]
    kept = last if conf["keep"] == "last" else min(history, key=lambda line: line["metrics"][name])
    return f"keeps the model of step {kept['step']} of {last['step']}, {name} {kept['metrics'][name]:.4g}"


@contextmanager
def watching(game: Play, runs: Sequence[Run]) -> Iterator[Watch]:
    """Yield a watch of a play, and let it record how the block ended.

    If the block ended without an error, the watch is called once more before that, so that it sees the last results.
    """
    watch = Watch(game, runs)
    with ending(watch.end):
        yield watch
        watch()


@contextmanager
def ending(end: Callable[[str], None]) -> Iterator[None]:
    """Call `end` when the block ends, with the status that MLflow gets.

    The status is FINISHED, or KILLED after SystemExit or KeyboardInterrupt, or FAILED after another error.
    """
    try:
        yield
    except BaseException as error:
        end("KILLED" if isinstance(error, (SystemExit, KeyboardInterrupt)) else "FAILED")
        raise
    end("FINISHED")
