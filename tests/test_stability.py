"""`gen-models stability`: a run with other seeds. This process does the jobs; tests/test_docs_commands.py asks Ray."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

from gen_models.errors import GenModelsError
from pipelines.commands import stability
from pipelines.config.params import Run
from pipelines.data.prepare import main as prepare
from pipelines.evaluation.evaluate import main as evaluate
from pipelines.evaluation.measure import measure
from pipelines.runtime import paths
from pipelines.training import ray_play
from pipelines.training.in_play import EVALUATION
from pipelines.training.run_log import RunLog
from pipelines.training.task import Task
from pipelines.training.train import main as train
from pipelines.training.trainer import train_or_diverge
from tests.project import make_project, params_of
from tests.trained import be_quick, files

KEY = "gmm-digits_normal"
BUDGET = {"steps": 6, "trial_steps": 6, "trials": 2, "reports": 2, "checkpoints": 1}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a run that was trained and evaluated, and the list of the jobs that were done since."""
    folder = make_project(tmp_path_factory.mktemp("seeds") / "project", params_of({KEY: KEY.split("-")}), BUDGET)
    done = []

    def do(game, asked, runs):
        while job := game.next_job():
            done.append((job.kind, job.owner))
            if job.kind == EVALUATION:
                asked_for = job.configuration["evaluation"]
                measure(Run(**asked_for["run"]), **asked_for["arguments"])
            else:
                list(train_or_diverge(Task(**job.configuration["task"])))
            game.ended(job)

    def do_one(plan, storage):
        list(train_or_diverge(plan.task))

    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        patch.setattr(ray_play, "play_jobs", do)
        patch.setattr(ray_play, "play_training", do_one)
        conf = folder / "conf" / "model" / "gmm.yaml"
        conf.write_text(
            re.sub(r"components: \d+", "components: 3", conf.read_text().replace("em_steps: 50", "em_steps: 2"))
        )
        prepare(["digits_normal"])
        setting = paths.out("sweep", KEY, "setting.json")
        setting.parent.mkdir(parents=True)
        setting.write_text("{}")
        train([KEY])
        evaluate([KEY])
        yield folder, done


def test_each_seed_is_trained_once_the_run_itself_never_and_nothing_of_it_changes(project, tmp_path, capsys):
    folder, done = project
    before = files(folder / "out")
    calls = tmp_path / "calls.csv"
    stability.main([KEY, "--seeds", "2", "--out", str(calls)])
    assert sorted(done) == [("evaluate", f"{KEY}, seed 1"), ("train", f"{KEY}, seed 1")]
    said = capsys.readouterr().out
    stability.main([KEY, "--seeds", "2"])
    assert len(done) == 2 and capsys.readouterr().out == said.partition(str(calls))[0]
    stability.main([KEY, "--seeds", "3"])
    assert sorted(done[2:]) == [("evaluate", f"{KEY}, seed 2"), ("train", f"{KEY}, seed 2")]
    assert files(folder / "out") == before

    own = json.loads((folder / "out" / "evaluate" / KEY / "metrics.json").read_text())["nats"]
    low, high = map(float, re.search(r"nats .* from (\S+) to (\S+)", said).groups())
    assert low < high and any(np.isclose(own, end, rtol=1e-4) for end in (low, high))
    with calls.open(newline="") as file:
        rows = list(csv.DictReader(file))
    p = np.array([[float(row["p_seed_0"]), float(row["p_seed_1"])] for row in rows])
    called = p <= 0.05
    assert [int(row["flagged_by"]) for row in rows] == called.sum(axis=1).tolist()
    both, either = int(called.all(axis=1).sum()), int(called.any(axis=1).sum())
    assert both < either and f"{both} by all trainings, {either} by at least one" in said


def test_a_training_of_the_run_itself_agrees_with_itself(project, monkeypatch):
    folders = dict.fromkeys((0, 1), paths.out("evaluate", KEY))
    found = stability.calls(KEY, folders, 0.05)
    assert found.rank == (pytest.approx(1),) and set(found.flagged_by) == {0, 2}
    assert all(values.std() == 0 for values in stability.numbers(folders).values())


def test_a_seed_that_diverged_is_named_each_time(project, capsys):
    folder, _ = project
    stability.main([KEY, "--seeds", "2"])
    (diverged,) = [
        path.parent
        for path in folder.glob("work/train/*/lineage.json")
        if json.loads(path.read_text())["run"] == f"{KEY}, seed 1"
    ]
    history = diverged / "history.jsonl"
    kept = history.read_bytes()
    RunLog(diverged).diverge(6, "the loss is nan")
    try:
        for _ in range(2):
            capsys.readouterr()
            stability.main([KEY, "--seeds", "3"])
            said = capsys.readouterr().out
            assert f"{KEY}, seed 1: left out: the loss is nan" in said and "with the seeds 0, 2 on" in said
    finally:
        history.write_bytes(kept)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([KEY, "--seeds", "1"], "--seeds 1: at least 2"),
        ([KEY, "--fpr", "1"], "--fpr 1: give a rate between 0 and 1"),
        ([KEY, "--seeds", "2", "--fpr", "0.001"], "needs at least 999; give a rate of 0.00"),
        ([KEY, "--out", "/nowhere/calls.csv"], "/nowhere/calls.csv: cannot be written"),
        (["gmm-digit_normal"], f"unknown run 'gmm-digit_normal': did you mean '{KEY}'"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line_before_a_training(project, words, match):
    _, done = project
    before = len(done)
    with pytest.raises(GenModelsError, match=match) as caught:
        stability.main(words)
    assert "\n" not in str(caught.value) and len(done) == before


def test_a_run_that_was_not_trained_names_the_command_that_trains_it(project):
    setting = paths.out("sweep", KEY)
    kept = setting.with_name("kept")
    setting.rename(kept)
    try:
        with pytest.raises(GenModelsError, match=f"run `dvc repro sweep@{KEY}` first"):
            stability.main([KEY])
    finally:
        shutil.move(kept, setting)
