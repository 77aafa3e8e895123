"""What is played on a real local Ray cluster: packed trials are unpacked ones, schedulers keep their word, and stages
collect the bits that they would make themselves.

Each process that Ray starts imports PyTorch and costs 4 s of CPU, so the tests share what they ask of the cluster.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gen_models.errors import GenModelsError
from pipelines.config.cluster_conf import cluster_conf
from pipelines.config.compose import compose, override
from pipelines.config.params import params
from pipelines.data.prepare import main as prepare
from pipelines.evaluation import evaluate
from pipelines.runtime import paths
from pipelines.training import play as command
from pipelines.training import ray_cluster, ray_resources, ray_train, ray_tune, sweep, train
from pipelines.training.in_play import TRIAL, Job
from pipelines.training.run_log import RunLog
from pipelines.training.sweep_plan import SweepPlan
from pipelines.training.task import Task, task_of
from pipelines.training.trainer import train as train_here
from tests.project import make_project, params_of
from tests.trained import files

STEPS = 36
BUDGET = {"steps": 12, "trial_steps": 6, "trials": 3, "reports": 2, "checkpoints": 1}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project whose cluster is kept for this process, as it is for a dvc."""
    params = params_of({"gmm-digits": ("gmm", "digits")})
    folder = make_project(tmp_path_factory.mktemp("sweep") / "project", params, BUDGET)
    conf = folder / "conf" / "model" / "gmm.yaml"
    conf.write_text(conf.read_text().replace("em_steps: 50", "em_steps: 2"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        patch.setattr(ray_cluster, "dvc_ancestor", os.getpid)
        prepare(["digits"])
        yield folder
        ray_cluster.release(os.getpid())


def conf(scheduler: str) -> dict:
    made = compose("vae", "digits", "tiny")
    made["budget"] |= {"trials": 4, "trial_steps": STEPS, "reports": 4, "checkpoints": 2}
    made["sweep"] |= {"scheduler": scheduler, "rungs": 2, "eta": 2}
    return made


def plan_of(made: dict, folder: Path) -> SweepPlan:
    return SweepPlan(folder.name, "digits", made, {"key": folder.name, "seed": 0, "data": "digits"}, folder)


def run_trials(*plans: SweepPlan) -> None:
    """What the stage does with the trials that it has planned."""
    command.play(plans, {}, asked=params())
    assert all(plan.is_played() for plan in plans)


@contextmanager
def one_job_at_once() -> Iterator[None]:
    """Let Ray do one job after the other."""
    one = cluster_conf("local").model_copy(update={"most_jobs": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_resources, "cluster_conf", lambda name: one)
        yield


def histories(plan: SweepPlan) -> list[list[dict]]:
    return [row["history"] for row in plan.rows()]


def at_rung(history: list[dict]) -> float:
    """The lowest validation nats up to the first rung of two."""
    return min(line["metrics"]["validation.nats"] for line in history if line["step"] <= STEPS // 2)


@pytest.fixture(scope="module")
def unpacked(project) -> list[list[dict]]:
    """The trials trained one after the other in this process, without Ray."""
    plan = plan_of(conf("none"), project / "work" / "unpacked")
    for task in plan.tasks:
        list(train_here(task))
    return histories(plan)


@pytest.fixture(scope="module")
def packed(project) -> dict[str, SweepPlan]:
    """The same trials trained by Ray, those of a sweep without a scheduler and those of one that halves at once."""
    plans = {name: plan_of(conf(name), project / "work" / name) for name in ("none", "halving")}
    run_trials(*plans.values())
    return plans


@pytest.fixture(scope="module")
def again(packed, unpacked) -> tuple[SweepPlan, list[list[dict]], str]:
    """The sweep that halves, its histories, and why another sweep failed which was played when one trial was lost."""
    plan = packed["halving"]
    found = histories(plan)
    shutil.rmtree(plan.tasks[max(best_half(unpacked))].folder)
    assert not plan.is_played()
    made = conf("none")
    made["batch_size"] = 10**6  # what only the trial itself finds out
    made["budget"]["trials"] = 1
    with pytest.raises(GenModelsError) as caught, one_job_at_once():
        run_trials(plan, plan_of(made, plan.folder.with_name("broken")))
    return plan, found, str(caught.value)


def best_half(unpacked: list[list[dict]]) -> set[int]:
    """The first, which has the conf's own setting, and the best two of the others."""
    return {0, *sorted(range(1, 4), key=lambda index: at_rung(unpacked[index]))[:2]}


def test_packed_trials_equal_unpacked_ones_bit_for_bit(packed, unpacked):
    assert histories(packed["none"]) == unpacked


def test_synchronous_halving_takes_the_best_half_to_the_end_and_resumes_from_its_run_logs(again, unpacked):
    plan, found, _ = again
    for index, history in enumerate(found):
        assert history[-1]["step"] == (STEPS if index in best_half(unpacked) else STEPS // 2)
        steps = {line["step"] for line in history}
        assert [line for line in unpacked[index] if line["step"] in steps] == history
    assert histories(plan) == found


def test_asha_stops_trials_whose_trajectories_are_those_of_the_unstopped(project, unpacked):
    """One at a time and the best first: whichever comes after it to a rung is in the worse half of what was there."""
    order = sorted(range(len(unpacked)), key=lambda index: at_rung(unpacked[index]))
    plan = plan_of(conf("asha"), project / "work" / "asha")
    drawn = plan.course().settings()
    plan.course().drawn.write_text(json.dumps([drawn[index] for index in order]))
    with one_job_at_once():
        run_trials(plan)
    for history, index in zip(histories(plan), order, strict=True):
        assert 1 <= len(history) <= len(unpacked[index])
        assert history == unpacked[index][: len(history)]
    lengths = [len(history) for history in histories(plan)]
    assert lengths[0] == len(unpacked[0]), "the best was stopped"
    assert max(lengths[1:]) < len(unpacked[0]), "a worse one was not stopped"
    run_trials(plan)
    assert [len(history) for history in histories(plan)] == lengths, "what was stopped was trained on"


def test_a_trial_that_fails_is_one_line(again):
    _, _, said = again
    assert "sweep broken: " in said and "batch_size" in said and "\n" not in said


class Misled:
    """Two jobs, and an error of the play itself when it is told that the first has ended."""

    is_over = False

    def __init__(self) -> None:
        self.waiting = [Job(TRIAL, "sweep", name, {}, lambda: True) for name in ("first", "second")]
        self.told: list[str] = []

    def next_job(self) -> Job | None:
        return self.waiting.pop(0) if self.waiting and len(self.told) == 2 - len(self.waiting) else None

    def ended(self, job: Job, error: str | None = None) -> None:
        self.told.append(job.folder)
        raise ZeroDivisionError("of the play")


def test_an_error_of_the_play_itself_is_the_one_that_is_raised_and_ends_it(project):
    """Ray would take it for the job's, do the job again, and end in an error of its own."""
    play = Misled()
    with ray_cluster.cluster() as ray, pytest.raises(ZeroDivisionError, match="of the play"):
        ray_tune.tune(ray, play, meanwhile=lambda: None, work=lambda _: None)
    assert play.told == ["first"] and [job.folder for job in play.waiting] == ["second"]


def fit(task: Task, workers: int, **more: Any) -> None:
    with ray_cluster.cluster() as ray:
        ray_train.fit_workers(ray, "vae-digits", task, workers, **more)


class Fitted(NamedTuple):
    """{name: task} of what two workers of Ray Train trained in turn, and the error of the last of them."""

    tasks: dict[str, Task]
    error: str


@pytest.fixture(scope="module")
def fitted(project) -> Fitted:
    """A sound training, one that diverges and one that cannot be built; a failure is not tried again."""
    made = {name: conf("none") for name in ("sound", "diverges", "bad")}
    made["diverges"] = override(made["diverges"], {"optim.vae.lr": 1e30})
    made["bad"]["model"]["latent"] = 0
    data, steps = paths.out("data", "digits"), {"sound": 20, "diverges": 21, "bad": 2}
    tasks = {
        name: task_of(made[name], data, seed=0, steps=steps[name], folder=project / "work" / name, is_trial=False)
        for name in made
    }

    def in_turn(configuration: dict[str, Any]) -> None:
        for task in (*configuration["before"], configuration["task"]):
            ray_train.train_and_report({**configuration, "task": task})

    before = [tasks[name].as_json() for name in ("sound", "diverges")]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(GenModelsError) as caught:
        patch.setattr(ray_train, "WORKER_RESTARTS", 0)  # else what fails would resume and take longer
        patch.setattr(ray_train, "SECONDS_BETWEEN_REPORTS", 0.0)
        fit(tasks["bad"], workers=2, worker=in_turn, before=before)
    return Fitted(tasks, str(caught.value))


def test_two_workers_of_ray_train_reach_what_one_reaches(project, fitted):
    task = fitted.tasks["sound"]
    alone = replace(task, folder=str(project / "work" / "alone"))
    list(train_here(alone))
    one, two = (RunLog(Path(each.folder)).history() for each in (alone, task))
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for first, second in zip(one, two, strict=True):
        assert second["metrics"] == pytest.approx(first["metrics"], rel=1e-3)  # float32: rounding, not 1e-8


def test_an_error_inside_a_worker_is_one_line_and_names_the_file_that_holds_it_all(fitted):
    log = Path(fitted.tasks["bad"].folder) / "error.log"
    assert re.search(r"latent.*error\.log", fitted.error) and str(log) in fitted.error
    assert "\n" not in fitted.error
    assert "Traceback" in log.read_text()


def test_a_diverged_training_is_one_line_and_is_not_tried_again(fitted):
    """Else Ray would try it again, and here what comes after it would not be reached."""
    said = RunLog(Path(fitted.tasks["diverges"].folder)).diverged()
    assert said and "\n" not in said
    assert "latent" in fitted.error


def test_more_workers_than_there_are_is_said_before_anything_starts(project):
    task = task_of(
        conf("none"), paths.out("data", "digits"), seed=0, steps=2, folder=project / "work" / "many", is_trial=False
    )
    with pytest.raises(GenModelsError, match=r"workers: 64 is more than the \d+ CPUs"):
        fit(task, workers=64)


def test_the_clusters_token_is_its_owners_alone(project):
    assert (project / "work" / "cluster" / "token").stat().st_mode & 0o777 == 0o600


def test_stages_collect_what_play_made_bit_for_bit_and_play_then_has_nothing_to_do(project, monkeypatch):
    """Outputs of play and then the stages, and of the stages alone, are the same bytes."""
    monkeypatch.setattr(command, "prepare", lambda data: None)
    with one_job_at_once():  # one process less; the packed trials above are trained at once
        command.main(["gmm-digits"])
        assert files(project / "work" / "sweep")
        done = subprocess.run([sys.executable, "-c", COLLECT], cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with monkeypatch.context() as patch:
            patch.setattr("pipelines.training.ray_play.play_jobs", None)
            command.main(["gmm-digits"])  # nothing is stale
        played = {stage: files(project / "out" / stage) for stage in STAGES}
        for stage in STAGES:
            shutil.rmtree(project / "work" / stage, ignore_errors=True)
            shutil.rmtree(project / "out" / stage)
        for stage in (sweep, train, evaluate):
            stage.main(["gmm-digits"])
    for stage, expected in played.items():
        assert files(project / "out" / stage) == expected


STAGES = ("sweep", "train", "evaluate")
COLLECT = """
import sys
from pipelines.evaluation import evaluate
from pipelines.training import play, sweep, train
for stage in (sweep, train, evaluate):
    stage.main(["gmm-digits"])
heavy = {"torch", "ray", "mlflow", "sklearn", "scipy", "matplotlib", "pandas"} & set(sys.modules)
assert not heavy, f"a stage with nothing to compute would take seconds: {heavy}"
"""


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "[::1]:{port}", "nowhere.invalid:6379"]
)
def test_a_cluster_that_is_gone_is_told_at_once(address, monkeypatch):
    """Ray itself would wait for minutes."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", address.format(port=unused.getsockname()[1]))
    with (
        pytest.raises(ray_cluster.ClusterError, match=r"nobody answers there .*; start the cluster, or unset"),
        ray_cluster.cluster(),
    ):
        pass
