"""Sweeps that grow, their searchers and schedulers, seeds and grids: laws of the run logs, without Ray."""

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from gen_models.errors import ConfigError, GenModelsError
from pipelines.config.compose import compose, compose_line
from pipelines.config.params import Run, params
from pipelines.data.prepare import main as prepare
from pipelines.garbage import work_folder
from pipelines.lineage.hashing import sha256_json
from pipelines.training import pbt, sweep
from pipelines.training.run_log import RunLog
from pipelines.training.schedulers import rounds
from pipelines.training.search import known_as, settings
from pipelines.training.sweep_plan import SweepPlan, sweep_plan
from pipelines.training.trainer import train_or_diverge
from pipelines.training.trials import choose, told
from tests.project import PARAMS, call, make_project, params_of, write_params
from tests.trained import files

STEPS = 6


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("growing") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        prepare(["digits"])
        yield folder


def plan_of(folder: Path, key: str = "a", *, sweep=(), budget=(), **others) -> SweepPlan:
    """A sweep of a small VAE over its learning rate."""
    made = compose("vae", "digits", "tiny")
    made["model"] |= {"hidden": [8], "latent": 2}
    made["sweep"] |= {
        "scheduler": "none",
        "eta": 2,
        "space": {"optim.vae.lr": {"loguniform": [5e-4, 5e-3]}},
        **dict(sweep),
    }
    made["budget"] |= {"trials": 2, "trial_steps": STEPS, "reports": 3, "checkpoints": 3, **dict(budget)}
    made |= others
    return SweepPlan("vae-digits", "digits", made, {"key": key * 12, "seed": 0, "data": "digits"}, folder)


def play(plan: SweepPlan, most: int = 10**6) -> list[tuple[str, int]]:
    """Train at most so many trials of a sweep that have not ended; return (folder, steps) of each."""
    trained: list[tuple[str, int]] = []
    for tasks, until in plan.course().rounds():
        for task in tasks:
            if RunLog(Path(task.folder)).is_finished(until):
                continue
            if len(trained) == most:
                return trained
            list(train_or_diverge(replace(task, steps=until)))
            trained.append((Path(task.folder).name, until))
    return trained


def pruned(plan: SweepPlan) -> dict[str, bytes]:
    plan.prune(plan.played())
    return {
        str(path): path.read_bytes()
        for path in plan.folder.rglob("*")
        if path.is_file() and "settings" not in path.name
    }


GRID = {"searcher": "grid", "space": {"model.beta": {"choice": [1.0, 2.0]}}}
LARGER_GRID = {**GRID, "space": {"model.beta": {"choice": [0.5, 1.0, 2.0]}}}
GROWN = {  # {what grows: (before, after, how many trials are new)}
    "trials": ({}, {"budget": {"trials": 4}}, 2),
    "random trials": ({"sweep": {"searcher": "random"}}, {"sweep": {"searcher": "random"}, "budget": {"trials": 3}}, 1),
    "seeds of the finalists": ({}, {"sweep": {"finalists": 1}, "budget": {"seeds": 2}}, 1),
    "values of a grid": ({"sweep": GRID}, {"sweep": LARGER_GRID}, 1),
    "seeds of a grid": ({"sweep": GRID}, {"sweep": GRID, "budget": {"seeds": 2}}, 2),
    "steps": ({"budget": {"trial_report_every": 2}}, {"budget": {"trial_report_every": 2, "trial_steps": 8}}, 2),
}


@pytest.mark.parametrize("what", GROWN)
def test_a_sweep_that_grows_trains_what_is_new_and_its_table_is_that_of_a_fresh_one(project, tmp_path, what):
    before, after, new = GROWN[what]
    small = plan_of(tmp_path / "grown", **before)
    play(small)
    held = pruned(small)
    large = plan_of(tmp_path / "grown", "b", **after)
    trained = play(large)
    assert len(trained) == new
    if what == "steps":
        assert {name for name, _ in trained} == {
            Path(name).parent.name for name in held if name.endswith("history.jsonl")
        }
        assert all(RunLog(large.folder / name).saved_step() == 8 for name, _ in trained)
    else:
        assert {name: Path(name).read_bytes() for name in held} == held, "a trial that had ended was touched"
    fresh = plan_of(tmp_path / "fresh", "b", **after)
    play(fresh)
    assert large.rows() == fresh.rows()


def test_halving_that_grows_has_the_rungs_of_a_fresh_one_and_begins_no_rung_again(project, tmp_path):
    """Who went on in the small sweep may be cut in the large one: then its row ends at the rung, as a fresh one's."""
    halving = {"scheduler": "halving", "rungs": 2}
    small = plan_of(tmp_path / "grown", sweep=halving, budget={"trials": 4})
    assert len(play(small)) == 4 + 3, "the conf's own setting, and the best half of four"
    pruned(small)
    large, fresh = (plan_of(tmp_path / name, "c", sweep=halving, budget={"trials": 8}) for name in ("grown", "fresh"))
    again = play(large)
    assert sum(until == STEPS // 2 for _, until in again) == 4
    play(fresh)
    assert large.rows() == fresh.rows()
    assert sorted(row["steps"] for row in large.rows()) == [3] * 3 + [6] * 5


@pytest.mark.parametrize(("searcher", "go_on"), [("sobol", {0, 2, 3}), ("random", {0, 2, 3}), ("grid", {2, 3})])
def test_the_setting_of_the_conf_is_never_stopped(project, tmp_path, searcher, go_on):
    """What learns fast at first may end worse: a sweep that stops the conf's setting may end worse than the conf."""
    plan = plan_of(tmp_path, sweep={"scheduler": "halving", "rungs": 2}, budget={"trials": 4})
    for value, task in zip((9.0, 3.0, 1.0, 2.0), plan.tasks, strict=True):
        RunLog(Path(task.folder)).record(STEPS // 2, {"validation.nats": value})
    plan.conf["sweep"]["searcher"] = searcher
    (_, first), (kept, last) = rounds(plan.conf, plan.tasks)
    assert (first, last) == (STEPS // 2, STEPS)
    assert {task.folder for task in kept} == {plan.tasks[index].folder for index in go_on}


def test_a_trial_whose_checkpoint_was_removed_at_a_rung_begins_again_with_the_same_numbers(project, tmp_path):
    halving = {"scheduler": "halving", "rungs": 2}
    plan = plan_of(tmp_path / "a", sweep=halving, budget={"trials": 3})
    play(plan, most=3)
    for task in plan.tasks:
        RunLog(Path(task.folder)).prune()
    assert not plan.is_played()
    assert sum(until == STEPS // 2 for _, until in play(plan)) == 2, "those that go on"
    fresh = plan_of(tmp_path / "b", sweep=halving, budget={"trials": 3})
    play(fresh)
    assert plan.rows() == fresh.rows()


def test_what_decides_a_trial_and_what_does_not(project, tmp_path):
    def names(**changed) -> set[str]:
        return {Path(task.folder).name for task in plan_of(tmp_path, sha256_json(changed), **changed).tasks}

    held = names()
    assert names(budget={"trials": 3}) > held
    assert names(budget={"steps": 9, "checkpoints": 1, "seeds": 2}) == held
    assert not names(budget={"trial_steps": 12}) & held, "its reports are at other steps"
    assert not names(budget={"reports": 2}) & held
    assert not names(batch_size=64) & held
    every = {"trial_report_every": 2}
    assert names(budget=every) == names(budget={**every, "trial_steps": 8})
    assert not names(budget=every) & names(budget={**every, "trial_steps": 9}), "a fresh trial has no report at step 9"
    assert not names(budget=every, schedule="cosine") & names(budget={**every, "trial_steps": 8}, schedule="cosine")


@pytest.mark.parametrize(
    ("why", "before", "after"),
    [
        ("spread over trial_steps", {}, {"trial_steps": 8}),
        ("multiples of trial_report_every", {"trial_report_every": 4}, {"trial_report_every": 4, "trial_steps": 7}),
    ],
)
def test_trials_that_are_trained_again_are_said_in_a_line(project, tmp_path, why, before, after):
    plan = plan_of(tmp_path, budget=before)
    assert plan.played_again() == ""
    play(plan)
    assert plan.played_again() == ""
    said = plan_of(tmp_path, "b", budget=after).played_again()
    assert why in said and "\n" not in said
    assert plan_of(tmp_path, "c", budget={**before, "trials": 3}).played_again() == ""


def test_losers_keep_no_checkpoint_and_run_logs_of_other_sweeps_are_few(project, tmp_path, monkeypatch):
    plan = plan_of(tmp_path, sweep={"scheduler": "halving", "rungs": 2, "eta": 4}, budget={"trials": 8})
    play(plan)
    for name in ("old", "older"):
        shutil.copytree(plan.tasks[0].folder, tmp_path / name)
        os.utime(tmp_path / name, (1, 1 if name == "older" else 2))
    rows = plan.rows()
    monkeypatch.setattr("pipelines.training.sweep_plan.MOST_OTHERS", 1)
    plan.prune(plan.played())
    assert (tmp_path / "old" / "history.jsonl").is_file() and not (tmp_path / "older").exists()
    assert len(list(tmp_path.glob("*/latest"))) == 3, "of those cut, as many as went on: more trials would take them on"
    assert plan.is_played() and plan.rows() == rows


def test_a_history_ends_where_the_sweep_does_even_if_the_trial_diverged_later(project, tmp_path):
    task = plan_of(tmp_path).tasks[0]
    log = RunLog(Path(task.folder))
    log.record(3, {"validation.nats": 2.0})
    log.diverge(3, "step 5: loss is nan")
    assert [line["step"] for line in told(task, 3)] == [3] and "diverged" in told(task, 6)[-1]


def test_no_point_is_tried_twice_and_a_small_space_is_tried_as_a_whole():
    def of(space: dict, trials: int, searcher: str = "sobol") -> list[dict]:
        conf = {"a": 1, "b": [1], "sweep": {"space": space, "searcher": searcher}, "budget": {"trials": trials}}
        return settings(conf, seed=0)

    space = {"a": {"choice": [1.0, 2, 3]}, "b": {"choice": [[1], [2]]}}
    for trials in (1, 3, 5, 6, 9):
        for searcher in ("sobol", "random"):
            found = of(space, trials, searcher)
            assert len({known_as(one) for one in found}) == len(found) == min(trials, 6)
            assert found[0] == {"a": 1, "b": [1]}
    assert of(space, 1, "grid") == [{"a": a, "b": b} for a in (1.0, 2, 3) for b in ([1], [2])]
    ranges = {"a": {"uniform": [0.0, 1.0]}}
    assert of(ranges, 8)[:3] == of(ranges, 3) and of(ranges, 8, "random")[:3] == of(ranges, 3, "random")
    with pytest.raises(ConfigError, match=r"a is uniform: in the sweep.s line, write .*`grid: \{a: \[0.0, 1.0\]\}`"):
        of(ranges, 3, "grid")


def test_tpe_is_rebuilt_from_the_run_logs(project, tmp_path):
    pytest.importorskip("optuna")
    budget, tpe = {"trials": 6}, {"searcher": "tpe"}
    plan = plan_of(tmp_path / "a", sweep=tpe, budget=budget)
    assert len(play(plan, most=5)) == 5
    plan.course().drawn.unlink()
    assert len(play(plan)) == 1
    whole = plan_of(tmp_path / "b", sweep=tpe, budget=budget)
    play(whole)
    assert plan.rows() == whole.rows()
    found = [row["override"] for row in whole.rows()]
    assert len({known_as(one) for one in found}) == 6
    assert found[:4] == settings({**whole.conf, "sweep": {**whole.conf["sweep"], "searcher": "sobol"}}, 0)[:4]
    assert play(plan_of(tmp_path / "b", "b", sweep=tpe, budget={"trials": 7}))[1:] == [], "one trial is new"


LATER_ROUNDS = {  # sweeps whose first round does not have all trials
    "tpe": {"sweep": {"searcher": "tpe"}, "budget": {"trials": 6}},
    "pbt": {"sweep": {"scheduler": "pbt", "rungs": 2}, "budget": {"trials": 4}},
    "finalists": {"sweep": {"finalists": 1}, "budget": {"seeds": 2}},
}


@pytest.mark.parametrize("way", LATER_ROUNDS)
def test_gc_leaves_every_trial_of_a_sweep_that_ended_or_was_stopped(project, monkeypatch, way):
    write_params(project, PARAMS)
    plan = plan_of(project / "work" / "sweep" / "vae-digits", **LATER_ROUNDS[way])
    monkeypatch.setattr(work_folder, "sweep_plan", lambda asked, key: plan)
    for most in (5 if way == "tpe" else 3, 10**6):
        play(plan, most=most)
        other = plan.folder / "other"
        other.mkdir()
        (item,) = work_folder.leftovers(params())
        assert item.what == "work/sweep/vae-digits/other" and item.remove()
    shutil.rmtree(plan.folder)


def test_tpe_without_optuna_is_a_line_with_the_command(project, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    plan = plan_of(tmp_path, sweep={"searcher": "tpe"}, budget={"trials": 6})
    with pytest.raises(GenModelsError, match=r"^sweep.searcher: tpe needs Optuna.* `pip install optuna`$"):
        play(plan)


def test_a_population_copies_its_best_and_is_the_same_after_a_stop(project, tmp_path):
    population = {"scheduler": "pbt", "rungs": 3}
    plan = plan_of(tmp_path / "a", sweep=population, budget={"trials": 4})
    for most in (1, 4, 3, 10**6):  # stopped again and again
        play(plan, most=most)
    whole = plan_of(tmp_path / "b", sweep=population, budget={"trials": 4})
    assert len(play(whole)) == 4 * 3
    assert plan.rows() == whole.rows()
    taken = [(row, step) for row in whole.rows() for step in row["lineage"][-1:]]
    assert taken and all(row["steps"] == STEPS for row in whole.rows())
    for row, step in taken:
        source, lr, was = whole.rows()[step["from"]], row["override"]["optim.vae.lr"], step["override"]["optim.vae.lr"]
        assert any(lr == pytest.approx(min(max(was * factor, 5e-4), 5e-3), rel=1e-3) for factor in pbt.FACTORS)
        shared = [line for line in row["history"] if line["step"] <= step["until"]]
        if step["until"] == max((one["until"] for one in source["lineage"]), default=step["until"]):
            assert shared == [line for line in source["history"] if line["step"] <= step["until"]]
    for row, trial in zip(whole.rows(), whole.played(), strict=True):
        state = json.loads((Path(trial.task.folder) / "latest" / "resume.json").read_text())
        assert state["optimisers"]["vae"]["param_groups"][0]["lr"] == row["override"]["optim.vae.lr"]
    plan.prune(plan.played())
    assert plan.rows() == whole.rows()


def test_exploring_stays_inside_the_space_and_leaves_choices_alone():
    space = {"a": {"uniform": [0.0, 1.0]}, "b": {"choice": [1, 2]}}
    generator = np.random.default_rng(0)
    for value in (0.0, 0.5, 0.9, 1.0):
        found = pbt.explored(space, {"a": value, "b": 2}, generator)
        assert found["b"] == 2 and 0.0 <= found["a"] <= 1.0


def test_finalists_are_the_best_and_are_chosen_by_their_mean(project, tmp_path):
    plan = plan_of(tmp_path, sweep={"finalists": 2}, budget={"trials": 3, "seeds": 3})
    assert len(play(plan)) == 3 + 2 * 2
    rows = plan.rows()
    firsts = sorted(rows[:3], key=lambda row: row["value"])
    for row in firsts[:2]:
        same = [row, *(one for one in rows if one.get("of") == row["trial"])]
        assert row["seeds"] == [one["seed"] for one in same] == [0, 1, 2]
        assert {json.dumps(one["override"]) for one in same} == {json.dumps(row["override"])}
        assert row["mean"] == pytest.approx(np.mean([one["value"] for one in same]))
        assert row["sd"] == pytest.approx(np.std([one["value"] for one in same], ddof=1))
    assert "mean" not in firsts[2]
    assert choose(rows, "a")["mean"] == min(row["mean"] for row in firsts[:2])
    lucky = [
        {"trial": 0, "value": 1.0, "mean": 3.0},
        {"trial": 1, "value": 2.0, "mean": 2.0},
        {"trial": 2, "value": 1.5},
        {"trial": 3, "value": 0.5, "of": 0},
        {"trial": 4, "value": 0.1, "mean": None},
    ]
    assert choose(lucky, "a")["trial"] == 1


def test_a_stage_writes_means_samples_and_what_the_line_sets(project):
    line = {"model": "vae", "data": "digits", "set": {"budget.trial_steps": 3, "model.hidden": [8]}}
    line |= {"grid": {"model.beta": [1.0, 4.0]}, "seeds": 2}
    lines = {"beta": line}
    write_params(project, params_of({}, data=["digits"]) | {"sweeps": lines, "runs": lines})
    plan = sweep_plan(params(), "beta")
    assert len(play(plan)) == 4
    sweep.main(["beta"])
    out = project / "out" / "sweep" / "beta"
    rows, best = (json.loads((out / name).read_text()) for name in ("trials.json", "best.json"))
    assert [(row["override"]["model.beta"], row["seed"]) for row in rows] == [(1.0, 0), (4.0, 0), (1.0, 1), (4.0, 1)]
    kept = {key: best["override"][key] for key in line["set"]}
    assert kept == line["set"], "the training reports where its trials did"
    assert best["mean"] == min(row["mean"] for row in rows[:2])
    pictures = [np.load(out / "samples" / f"trial_{k:04d}.npy") for k in range(4)]
    assert all(picture.shape == (64, 1, 8, 8) and picture.dtype == np.uint8 for picture in pictures)
    assert not list(project.glob("work/sweep/beta/*/latest"))
    held = files(out)
    sweep.main(["beta"])
    assert files(out) == held
    stages = call(project, "dvc", "stage", "list", "--name-only").stdout.split()
    assert {"sweep@beta", "train@beta"} <= set(stages)
    shutil.rmtree(project / "work" / "sweep")


def test_what_a_line_sets_is_not_searched():
    line = Run("a", "vae", "digits", "a", {"model.beta": 4, "batch_size": 32})
    made = compose_line(line, "quick")
    assert (made["model"]["beta"], made["batch_size"]) == (4, 32)
    assert set(made["sweep"]["space"]) == {"model.sigma", "optim.vae.lr"}
    assert all("model.beta" not in one for one in settings(made, 0))
    learning = compose_line(Run("a", "vae", "digits", "a", {"sweep.searcher": "tpe"}), "quick")
    assert learning["sweep"]["scheduler"] == "none", "it learns from whole trials"


BAD_LINES = {  # what a line has besides its model and data, and the line that it must give
    "set: {model.bta: 4}": "sweeps.a.set: unknown key of the conf 'model.bta': did you mean 'model.beta'",
    "set: {batch_size: 0}": "sweeps.a.set: batch_size: expected a whole number of at least 1, found 0",
    "set: {model: {beta: 4}}": "sweeps.a.set: unknown key of the conf 'model'",
    "set: {data.levels: 4}": "sweeps.a.set: unknown key of the conf 'data.levels'",
    "grid: {model.bta: [1]}": "sweeps.a.grid: unknown key of the conf 'model.bta': did you mean 'model.beta'",
    "grid: {model.beta: 4}": "sweeps.a.grid.model.beta: expected a list such as [a, b], found 4",
    "grid: {model.beta: []}": "sweeps.a.grid.model.beta: expected at least 1 values, found []",
    "grid: {}": "sweeps.a.grid: expected at least 1 values, found {}",
    "grid: {model.beta: [1]}, set: {model.beta: 2}": "model.beta: stands under set too; leave it under one of the two",
    "grid: {batch_size: [0]}": "sweeps.a.grid: batch_size: expected a whole number of at least 1, found 0",
    "seeds: 0": "sweeps.a.seeds: expected a whole number of at least 1, found 0",
    "set: {sweep.scheduler: pbd}": "unknown value 'pbd': did you mean 'pbt'",
}


@pytest.mark.parametrize("bad", BAD_LINES)
def test_a_line_that_cannot_be_used_is_one_line(project, bad):
    line = {"model": "vae", "data": "digits", **yaml.safe_load(f"{{{bad}}}")}
    write_params(project, params_of({}, data=["digits"]) | {"sweeps": {"a": line}, "runs": {"a": line}})
    with pytest.raises(ConfigError) as caught:
        compose_line(params().sweep("a"), "tiny")
    assert BAD_LINES[bad] in str(caught.value) and str(caught.value).startswith("params.yaml: sweeps.a")
    assert "\n" not in str(caught.value)
