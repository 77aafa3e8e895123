"""play [RUN ...]: trains what is stale, as many trials and trainings at once as the cluster has CPUs.

    gen-models play                all sweeps and runs of params.yaml
    gen-models play vae-digits     this run, and the sweep whose setting it uses

The trials and trainings are left in work/, each in a folder named by a hash of all that decides it. `dvc repro` then
collects them, in about a second a stage, and does the rest; without `play` it trains them itself, one stage after the
other, with the same result. If `play` is stopped or killed, the next one continues, and nothing that was finished is
trained again.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from pipelines import tracking
from pipelines.config.params import Params, params
from pipelines.runtime import paths
from pipelines.runtime.progress import Progress
from pipelines.runtime.stage import hold
from pipelines.training.follower import Follower
from pipelines.training.in_play import Play
from pipelines.training.initial_model import build_training
from pipelines.training.ray_cluster import cluster, gpus
from pipelines.training.ray_train import fit, fit_workers
from pipelines.training.ray_tune import tune
from pipelines.training.run_log import RunLog
from pipelines.training.schedulers import asha_arguments
from pipelines.training.sweep import summary
from pipelines.training.sweep_plan import SweepPlan, sweep_plan
from pipelines.training.training_plan import TrainingPlan, best_setting, training_plan


class PlayError(GenModelsError):
    """Something that was played failed."""


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="gen-models play", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="all runs of params.yaml, if none is named")
    asked = params()
    runs = [asked.run(key) for key in parser.parse_args(argv).runs] or list(asked.runs.values())
    prepare(sorted({run.data for run in runs}))
    with ExitStack() as held:
        for run in runs:
            held.enter_context(hold(paths.out("train", run.key)))
        for key in sorted({run.setting for run in runs}):
            held.enter_context(hold(paths.out("sweep", key)))
        plans = {run.setting: sweep_plan(asked, run.setting) for run in runs}
        known = {key: best_setting(key, key) for key, plan in plans.items() if plan.is_collected()}
        sweeps = [plan for key, plan in plans.items() if key not in known]
        play(sweeps, {run.key: run.setting for run in runs}, settings=known, asked=asked)


def prepare(data: Sequence[str]) -> None:
    """Let DVC prepare data sets, if they are stale. Raises PlayError if that fails."""
    stages = [f"prepare@{name}" for name in data]
    if subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", *stages], cwd=paths.root()).returncode:
        raise PlayError(f"the data are not prepared: see the line above, and run `dvc repro {' '.join(stages)}`")


def play(
    sweeps: Sequence[SweepPlan],
    trainings: Mapping[str, str],
    *,
    asked: Params,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Train the trials of sweeps, and the trainings that use their best settings.

    trainings: {run: the sweep whose setting it uses}; settings: {sweep: its best setting} for those decided before

    Raises PlayError with a line for each sweep and training that failed, after all others have ended.
    """

    def planned(run: str, setting: Mapping[str, Any]) -> TrainingPlan:
        return training_plan(asked, run, setting)

    for plan in sweeps:
        if plan.conf["sweep"]["scheduler"] == "asha" and not plan.is_played():
            _play_asha(plan, Play([plan], {}, settings={}, plan_training=planned))
    game = Play(sweeps, trainings, settings=settings or {}, plan_training=planned)
    if not game.is_over:
        _check(game)
        with watching(game) as watch, cluster() as ray:
            game.trains_apart = asked.workers > 1 or gpus(ray) > 0
            tune(ray, game, meanwhile=watch)
            for training in game.apart:
                fit_workers(ray, training.key, training.task, asked.workers, meanwhile=watch)
    if game.errors:
        raise PlayError("; ".join(game.errors))


def play_training(plan: TrainingPlan) -> None:
    """Train one run with Ray Train, and follow it in MLflow. Raises TrainingError if it fails."""
    build_training(plan.task.conf, plan.task.seed)  # refuses a conf that cannot be built before a cluster starts
    progress = Progress(f"train {plan.key}", plan.task.steps, "step")
    name = f"validation.{plan.task.conf['metric']}"
    follower = Follower(plan)
    with ending(follower.finish):

        def watch() -> None:
            if line := follower.catch_up():
                progress.show(line["step"], f"{name} {line['metrics'][name]:.4g}")

        fit(plan.key, plan.task, plan.workers, watch)
    progress.close()


def _play_asha(plan: SweepPlan, game: Play) -> None:
    """Train the trials of one sweep until Ray's scheduler stops them, and mark those that it stopped."""
    _check(game)
    with watching(game) as watch, cluster() as ray:
        from ray.tune.schedulers import ASHAScheduler

        scheduler = ASHAScheduler(**asha_arguments(plan.conf, plan.conf["budget"]["trial_steps"]))
        tune(ray, game, meanwhile=watch, scheduler=scheduler)
    for log in (RunLog(Path(task.folder)) for task in plan.tasks):
        if log.history() and not log.is_finished(plan.conf["budget"]["trial_steps"]):
            log.stop()


def _check(game: Play) -> None:
    """Raise ConfigError for a setting that cannot be built, before a cluster starts."""
    for sweep in game.sweeps.values():
        for task in [] if sweep.is_over else sweep.plan.tasks:
            build_training(task.conf, task.seed)


class Watch:
    """Shows what is in play and sends it to MLflow; it is called every fraction of a second."""

    def __init__(self, game: Play):
        self._game = game
        self._progress = Progress("play", game.total, "task")
        self._followers: dict[str, Follower] = {}
        self._told: set[str] = set()

    def __call__(self) -> None:
        for key, sweep in self._game.sweeps.items():
            if sweep.best is not None and key not in self._told:
                self._told.add(key)
                self._progress.line(summary(sweep.plan, sweep.best))
                tracking.record_sweep(key, sweep.plan.lineage, sweep.plan.rows())
        for line in self._game.errors:
            if line not in self._told:
                self._told.add(line)
                self._progress.line(f"error: {line}")
        for key, plan in list(self._game.trainings.items()):
            if plan.log.history_path.is_file():
                self._follow(key, plan)
        self._progress.show(self._game.ended_tasks, self._game.words())

    def end(self, status: str) -> None:
        """Record how it ended for the trainings that have not ended: KILLED or FAILED."""
        for follower in self._followers.values():
            if not follower.is_over:
                follower.finish("FAILED" if status == "FINISHED" else status)
        self._progress.close()

    def _follow(self, key: str, plan: TrainingPlan) -> None:
        if key not in self._followers:
            self._followers[key] = Follower(plan)
        follower = self._followers[key]
        if follower.is_over:
            return
        follower.catch_up()
        if key not in self._game.running.values() and plan.is_played():
            follower.finish("FINISHED")
            last = plan.log.history()[-1]
            name = f"validation.{plan.task.conf['metric']}"
            what = last.get("diverged") or f"{name} {last['metrics'][name]:.4g} after {last['step']} steps"
            self._progress.line(f"train {key}: {what}")


@contextmanager
def watching(game: Play) -> Iterator[Watch]:
    """Yield a watch, let it see the end, and let it record how the block ended."""
    watch = Watch(game)
    with ending(watch.end):
        yield watch
        watch()


@contextmanager
def ending(end: Callable[[str], None]) -> Iterator[None]:
    """Call `end` with how the block ended, the status of a run in MLflow: FINISHED, KILLED or FAILED."""
    try:
        yield
    except BaseException as error:
        end("KILLED" if isinstance(error, (SystemExit, KeyboardInterrupt)) else "FAILED")
        raise
    end("FINISHED")
