"""Sweeps and trainings on a real local Ray cluster: packed trials are unpacked ones, schedulers keep their word."""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from gen_models.errors import GenModelsError
from pipelines.config.cluster_conf import cluster_conf
from pipelines.config.compose import compose, override
from pipelines.config.params import params
from pipelines.data.prepare import main as prepare
from pipelines.runtime import paths
from pipelines.training import ray_cluster, ray_resources, ray_train
from pipelines.training.play import play
from pipelines.training.run_log import RunLog
from pipelines.training.sweep_plan import SweepPlan
from pipelines.training.task import Task, task_of
from pipelines.training.trainer import train
from tests.project import make_project

STEPS = 36


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project whose cluster is kept for this process, as it is for a dvc."""
    folder = make_project(tmp_path_factory.mktemp("sweep") / "project")
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


def sweep(made: dict, folder: Path) -> SweepPlan:
    return SweepPlan("vae-digits", "digits", made, {"key": folder.name, "seed": 0, "data": "digits"}, folder)


def run_trials(plan: SweepPlan) -> None:
    """What the stage does with the trials that it has planned."""
    play([plan], {}, asked=params())
    assert plan.is_played()


def histories(plan: SweepPlan) -> list[list[dict]]:
    return [row["history"] for row in plan.rows()]


def at_rung(history: list[dict]) -> float:
    """The lowest validation nats up to the first rung of two."""
    return min(line["metrics"]["validation.nats"] for line in history if line["step"] <= STEPS // 2)


@pytest.fixture(scope="module")
def unpacked(project) -> list[list[dict]]:
    """The trials trained one after the other in this process, without Ray."""
    plan = sweep(conf("none"), project / "work" / "unpacked")
    for task in plan.tasks:
        list(train(task))
    return histories(plan)


def test_packed_trials_equal_unpacked_ones_bit_for_bit(project, unpacked):
    plan = sweep(conf("none"), project / "work" / "none")
    run_trials(plan)
    assert histories(plan) == unpacked


def test_synchronous_halving_takes_the_best_half_to_the_end_and_resumes_from_its_run_logs(project, unpacked):
    plan = sweep(conf("halving"), project / "work" / "halving")
    run_trials(plan)
    rung = STEPS // 2
    best_half = set(sorted(range(4), key=lambda index: at_rung(unpacked[index]))[:2])
    found = histories(plan)
    for index, history in enumerate(found):
        assert history[-1]["step"] == (STEPS if index in best_half else rung)
        steps = {line["step"] for line in history}
        assert [line for line in unpacked[index] if line["step"] in steps] == history
    last = max(best_half)
    shutil.rmtree(plan.tasks[last].folder)
    run_trials(plan)
    assert histories(plan) == found


def test_asha_stops_trials_whose_trajectories_are_those_of_the_unstopped(project, unpacked, monkeypatch):
    """One at a time and the best first: whichever comes after it to a rung is in the worse half of what was there."""
    one = cluster_conf("local").model_copy(update={"most_jobs": 1})
    monkeypatch.setattr(ray_resources, "cluster_conf", lambda name: one)
    order = sorted(range(len(unpacked)), key=lambda index: at_rung(unpacked[index]))
    plan = sweep(conf("asha"), project / "work" / "asha")
    drawn = plan.course().settings()
    plan.course().drawn.write_text(json.dumps([drawn[index] for index in order]))
    run_trials(plan)
    for history, index in zip(histories(plan), order, strict=True):
        assert 1 <= len(history) <= len(unpacked[index])
        assert history == unpacked[index][: len(history)]
    lengths = [len(history) for history in histories(plan)]
    assert lengths[0] == len(unpacked[0]), "the best was stopped"
    assert max(lengths[1:]) < len(unpacked[0]), "a worse one was not stopped"
    run_trials(plan)
    assert [len(history) for history in histories(plan)] == lengths, "what was stopped was trained on"


def test_a_trial_that_fails_is_one_line(project):
    made = conf("none")
    made["batch_size"] = 10**6  # what only the trial itself finds out
    plan = sweep(made, project / "work" / "broken")
    with pytest.raises(GenModelsError, match="batch_size") as caught:
        run_trials(plan)
    assert "\n" not in str(caught.value)


@pytest.fixture
def no_restarts(monkeypatch):
    """A worker that fails is then an error, not a training that resumes and takes longer."""
    monkeypatch.setattr(ray_train, "WORKER_RESTARTS", 0)
    monkeypatch.setattr(ray_train, "SECONDS_BETWEEN_REPORTS", 0.0)


def fit(task: Task, workers: int) -> None:
    with ray_cluster.cluster() as ray:
        ray_train.fit_workers(ray, "vae-digits", task, workers)


def test_two_workers_of_ray_train_reach_what_one_reaches(project, no_restarts):
    made = conf("none")
    tasks = [
        task_of(made, paths.out("data", "digits"), seed=0, steps=20, folder=project / "work" / name, is_trial=False)
        for name in ("one", "two")
    ]
    list(train(tasks[0]))
    fit(tasks[1], workers=2)
    one, two = (RunLog(Path(task.folder)).history() for task in tasks)
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for first, second in zip(one, two, strict=True):
        assert second["metrics"] == pytest.approx(first["metrics"], rel=1e-3)  # float32: rounding, not 1e-8


def test_an_error_inside_a_worker_is_one_line_and_names_the_file_that_holds_it_all(project, no_restarts):
    made = conf("none")
    made["model"]["latent"] = 0
    task = task_of(made, paths.out("data", "digits"), seed=0, steps=2, folder=project / "work" / "bad", is_trial=False)
    with pytest.raises(GenModelsError, match=r"latent.*error\.log") as caught:
        fit(task, workers=1)
    assert "\n" not in str(caught.value)
    assert "Traceback" in (project / "work" / "bad" / "error.log").read_text()


def test_more_workers_than_there_are_is_said_before_anything_starts(project):
    task = task_of(
        conf("none"), paths.out("data", "digits"), seed=0, steps=2, folder=project / "work" / "many", is_trial=False
    )
    with pytest.raises(GenModelsError, match=r"workers: 64 is more than the \d+ CPUs"):
        fit(task, workers=64)


def test_a_diverged_training_is_one_line_and_is_not_tried_again(project, no_restarts):
    made = override(conf("none"), {"optim.vae.lr": 1e30})
    task = task_of(made, paths.out("data", "digits"), seed=0, steps=20, folder=project / "work" / "nan", is_trial=False)
    fit(task, workers=1)
    assert RunLog(Path(task.folder)).diverged()


def test_the_clusters_token_is_its_owners_alone(project):
    assert (project / "work" / "cluster" / "token").stat().st_mode & 0o777 == 0o600


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
