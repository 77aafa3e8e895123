"""play [RUN ...]: trains and evaluates what is stale, as many jobs at once as have room in the cluster.

    gen-models play                all sweeps and runs of params.yaml
    gen-models play vae-digits     this run, and the sweep whose setting it uses

A job is a trial, a training or an evaluation. The results are left in work/, each in a folder named by a hash of all
that decides it. `dvc repro` then collects them, in less than a second a stage, and does the rest; without `play` it
does the same jobs one stage after the other, with the same result. If `play` is stopped or killed, the next one
continues, and nothing that was finished is done again.
"""

import subprocess
import sys
from collections.abc import Collection, Container, Mapping, Sequence
from contextlib import ExitStack

from gen_models.errors import GenModelsError
from pipelines.config.params import Params, Run, params
from pipelines.evaluation.evaluation_plan import evaluation_plan
from pipelines.runtime import paths
from pipelines.runtime.repository import require_repository
from pipelines.runtime.stage import hold, parse, run, run_keys
from pipelines.training.in_play import Play
from pipelines.training.ray_cluster import require_cluster
from pipelines.training.sweep_plan import SweepPlan, sweep_plan
from pipelines.training.training_plan import best_setting, training_plan


class PlayError(GenModelsError):
    """A job of a play failed, or the data of a play could not be prepared."""


def main(argv: list[str]) -> None:
    keys = parse(argv, "play", __doc__, run_keys).runs
    asked = params()
    runs = [asked.run(key) for key in keys] or list(asked.runs.values())
    require_cluster()  # before data are prepared, which may take minutes
    prepare([asked.stage("prepare", data) for data in sorted({run.data for run in runs})])
    with ExitStack() as held:
        for run in runs:
            held.enter_context(hold(paths.out("train", run.key)))
            held.enter_context(hold(paths.out("evaluate", run.key)))
        for key in sorted({run.setting for run in runs}):
            held.enter_context(hold(paths.out("sweep", key)))
        play_runs(runs, asked)


def prepare(stages: Sequence[str]) -> None:
    """Let DVC run stages that prepare data sets, if they are stale. Raises PlayError if a stage fails.

    stages: names of stages of dvc.yaml. DVC also compares the content of files that are the user's own, so their edits
    are noticed here.
    """
    require_repository()
    if not stages:  # without any, DVC would run the whole graph
        return
    if subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", *stages], cwd=paths.root()).returncode:
        raise PlayError(f"the data are not prepared: see the line above, and run `dvc repro {' '.join(stages)}`")


def play_runs(runs: Sequence[Run], asked: Params) -> None:
    """Play some runs, and before them the sweeps whose settings they use, unless out/ has their results.

    asked: params.yaml. Raises PlayError as `play` does.
    """
    plans = {key: sweep_plan(asked, key) for key in dict.fromkeys(run.setting for run in runs)}
    decided = {key: best_setting(key, key) for key, plan in plans.items() if plan.is_collected()}
    sweeps = [plan for key, plan in plans.items() if key not in decided]
    play(sweeps, {run.key: run.setting for run in runs}, asked=asked, settings=decided)


def play(
    sweeps: Sequence[SweepPlan],
    runs: Mapping[str, str],
    *,
    asked: Params,
    settings: Mapping[str, Mapping] | None = None,
) -> None:
    """Train the trials of sweeps, then train and evaluate the runs that use their best settings.

    runs: {run: the sweep whose setting it uses}; asked: params.yaml
    settings: {sweep: its best setting} for sweeps that were decided before

    Raises PlayError, with a line for each sweep and run that failed, after all others have ended.
    """

    def jobs_of(sweeps: Sequence[SweepPlan], runs: Mapping[str, str]) -> Play:
        return Play(
            sweeps,
            runs,
            settings=settings or {},
            plan_training=lambda run, setting: training_plan(asked, run, setting),
            plan_evaluation=lambda run, trained: evaluation_plan(asked, run, trained),
        )

    for plan in sweeps:
        if note := plan.played_again():
            print(note, flush=True)
        if plan.conf["sweep"]["scheduler"] == "asha" and not plan.is_played():
            from pipelines.training.ray_play import play_asha  # imports Ray, torch and MLflow

            play_asha(plan, jobs_of([plan.without_repeats()], {}), asked)
    game = jobs_of(sweeps, runs)
    if not game.is_over:
        from pipelines.training.ray_play import play_jobs  # imports Ray, torch and MLflow

        play_jobs(game, asked, [asked.run(key) for key in runs])
    errors = [*game.errors, *(f"train {run}: {reason}" for run, reason in game.diverged.items())]
    if errors:
        raise PlayError("; ".join(errors) + _go_on(runs, game.failed))


def _go_on(runs: Collection[str], failed: Container[str]) -> str:
    """Return the end of an error's line: how to go on with the other runs. Empty if there are none.

    Only the project's own folder has a Makefile, so in another folder the line ends without it.
    """
    lost = [run for run in runs if run in failed]
    others = [run for run in runs if run not in failed]
    if not others or not (paths.root() / "Makefile").is_file():
        return ""
    return f'; to go on without {", ".join(lost)}, run `make repro RUNS="{" ".join(others)}"`'


if __name__ == "__main__":
    run(main)
