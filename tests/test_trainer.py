"""A training that is cut anywhere and begun again ends where the straight one ends; its run log has each step once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gen_models.errors import CheckpointError
from pipelines.config.compose import compose, override
from pipelines.data.prepare import main as prepare
from pipelines.runtime import paths
from pipelines.training.ray_play import end_of
from pipelines.training.run_log import RunLog
from pipelines.training.search import settings
from pipelines.training.task import WORST, Task, task_of
from pipelines.training.trainer import train, train_or_diverge
from pipelines.training.trials import Place
from tests.project import make_project

MODELS = ("gmm", "vae", "realnvp", "sn_wgan")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("trainer") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        prepare(["digits"])
        yield folder


def task(model: str, folder: Path, **changes) -> Task:
    few = {"model.em_steps": 5} if model == "gmm" else {}
    conf = override(compose(model, "digits", "tiny"), few | changes)
    conf["budget"] |= {"reports": 6, "checkpoints": 3}
    return task_of(conf, paths.out("data", "digits"), seed=1, steps=24, folder=folder, is_trial=False)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("model", MODELS)
def test_cut_after_any_report_and_resumed_equals_straight(project, tmp_path, model):
    """That of the flow with a falling rate, which goes on where it was."""
    falling = {"schedule": "cosine"} if model == "realnvp" else {}
    straight = list(train(task(model, tmp_path / "straight", **falling)))
    for cut in (1, 2, 3):  # before the first checkpoint, at one, and between two
        begun = train(task(model, tmp_path / f"cut{cut}", **falling))
        for _ in range(cut):
            next(begun)
        begun.close()
        resumed = list(train(task(model, tmp_path / f"cut{cut}", **falling)))
        assert resumed == straight[cut - cut % 2 :]  # checkpoints are at every second report
        assert files(tmp_path / f"cut{cut}") == files(tmp_path / "straight")


@pytest.fixture(scope="module")
def straight(project) -> tuple[list, dict[str, bytes]]:
    """Records and files of a VAE's training that nothing cut."""
    folder = project / "work" / "straight"
    return list(train(task("vae", folder))), files(folder)


def test_the_same_task_twice_writes_the_same_bytes(straight, tmp_path):
    assert list(train(task("vae", tmp_path))) == straight[0]
    assert files(tmp_path) == straight[1]


def test_a_torn_last_line_and_a_torn_checkpoint_cost_time_and_nothing_else(straight, tmp_path):
    begun = train(task("vae", tmp_path / "torn"))
    for _ in range(3):
        next(begun)
    begun.close()
    with (tmp_path / "torn" / "history.jsonl").open("a") as file:
        file.write('{"step": 16, "met')
    weights = tmp_path / "torn" / "latest" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    assert list(train(task("vae", tmp_path / "torn"))) == straight[0]
    assert files(tmp_path / "torn") == straight[1]


@pytest.mark.parametrize("name", ["resume.json", "manifest.json", "resume.safetensors"])
def test_a_damaged_latest_is_not_finished_and_is_trained_again(project, tmp_path, name):
    done = task("ae", tmp_path / "run")
    straight = list(train(done))
    (tmp_path / "run" / "latest" / name).write_bytes(b"{")
    assert not RunLog(tmp_path / "run").is_finished(done.steps)
    assert list(train(done)) == straight


def test_a_run_log_has_one_writer_at_a_time(project, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.training.run_log.WAIT_SECONDS", 0.1)
    first = train(task("ae", tmp_path / "run"))
    next(first)
    with pytest.raises(CheckpointError, match="another process is writing it"):
        next(train(task("ae", tmp_path / "run")))
    first.close()
    assert next(train(task("ae", tmp_path / "run"))).step


def test_another_seed_does_not_go_on_with_a_checkpoint(project, tmp_path):
    begun = task("ae", tmp_path / "run")
    list(train(begun))
    with pytest.raises(CheckpointError, match="seed 1 cannot go on with seed 2"):
        next(train(replace(begun, seed=2, steps=48)))


def test_a_trials_folder_is_named_by_its_setting(project, tmp_path):
    """Other settings of the same index must not find the run log of the old ones."""
    conf = compose("vae", "digits", "tiny")
    place = Place(paths.out("data", "digits"), tmp_path, {}, (conf["budget"]["trial_steps"],))
    before, after = ({place.task(conf, one, 0).folder for one in settings(conf, seed)} for seed in (0, 1))
    assert len(before & after) == 1  # the first trial is the conf as it stands, whatever the seed


def test_a_finished_task_has_nothing_left_to_do(project, tmp_path):
    done = task("ae", tmp_path / "done")
    assert not RunLog(tmp_path / "done").is_finished(done.steps)
    list(train(done))
    assert RunLog(tmp_path / "done").is_finished(done.steps)
    before = files(tmp_path / "done")
    assert list(train(done)) == []
    assert files(tmp_path / "done") == before


def test_the_best_checkpoint_is_that_of_the_lowest_metric(project, tmp_path):
    training = task("vae", tmp_path / "run", **{"optim.vae.lr": 0.05})
    records = list(train(training))
    resume = json.loads((tmp_path / "run" / "latest" / "resume.json").read_text())
    best = min(records, key=lambda record: record.value)
    assert resume["notes"]["best"]["step"] == best.step < 24
    history = RunLog(tmp_path / "run").history()
    said = f"keeps the model of step {best.step} of 24, validation.nats {best.value:.4g}"
    assert end_of(history, training.conf) == said
    assert end_of(history[-1:], training.conf) == end_of(history, training.conf | {"keep": "last"})


def test_a_diverged_trial_ends_with_a_finite_worst_value_and_says_why(project, tmp_path):
    trial = task("vae", tmp_path / "run", **{"optim.vae.lr": 1e30})
    records = list(train_or_diverge(trial))
    assert records[-1].value == WORST
    log = RunLog(tmp_path / "run")
    assert "not finite" in log.diverged() or "is nan" in log.diverged() or "is inf" in log.diverged()
    assert log.is_finished(trial.steps)


def test_steps_are_told_once_in_order(project, tmp_path):
    list(train(task("ae", tmp_path / "run")))
    assert [line["step"] for line in RunLog(tmp_path / "run").history()] == [4, 8, 12, 16, 20, 24]
