"""`gen-models play`: the order of its jobs, without Ray; tests/test_sweep.py plays on a cluster."""

import re
import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.config.params import params
from pipelines.data.prepare import main as prepare
from pipelines.evaluation.evaluation_plan import evaluation_plan
from pipelines.runtime import progress
from pipelines.runtime.progress import Progress
from pipelines.training.in_play import EVALUATION, TRAINING, TRIAL, Job, Play
from pipelines.training.play import PlayError, play
from pipelines.training.run_log import RunLog
from pipelines.training.rungs import stops
from pipelines.training.sweep_plan import SweepPlan, sweep_plan
from pipelines.training.task import Task
from pipelines.training.trainer import train_or_diverge
from pipelines.training.training_plan import training_plan
from tests.project import make_project, params_of, write_params

SWEEPS = {"gmm-digits": ("gmm", "digits"), "ae-digits": ("ae", "digits")}
REUSES = {"ae-digits_normal": ("ae", "digits_normal", "ae-digits")}
BUDGET = {"steps": 12, "trial_steps": 6, "trials": 3, "reports": 2, "checkpoints": 1}
SETTING = {"ae-digits_normal": "ae-digits", "ae-digits": "ae-digits", "gmm-digits": "gmm-digits"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("play") / "project", params_of(SWEEPS, REUSES), BUDGET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        conf = folder / "conf" / "model" / "gmm.yaml"
        conf.write_text(conf.read_text().replace("em_steps: 50", "em_steps: 2"))
        for name in ("digits", "digits_normal"):
            prepare([name])
        yield folder


@pytest.fixture
def fresh(project):
    """The project with prepared data and nothing else."""
    for name in ("sweep", "train", "evaluate"):
        shutil.rmtree(project / "work" / name, ignore_errors=True)
    return project


def play_of(sweeps: list[SweepPlan], **settings) -> Play:
    asked = params()
    return Play(
        sweeps,
        SETTING,
        settings=settings,
        plan_training=lambda run, setting: training_plan(asked, run, setting),
        plan_evaluation=lambda run, trained: evaluation_plan(asked, run, trained),
    )


def plans(scheduler: str = "none") -> list[SweepPlan]:
    found = [sweep_plan(params(), key) for key in SWEEPS]
    for plan in found:
        plan.conf["sweep"] |= {"scheduler": scheduler, "rungs": 2, "eta": 2}
    return found


def do(job: Job) -> None:
    """Do a job in this process; an evaluation is only pretended, as its numbers are not the matter here."""
    if job.kind == EVALUATION:
        Path(job.folder).mkdir(parents=True)
    else:
        list(train_or_diverge(Task(**job.configuration["task"])))


def play_here(game: Play, at_once: int = 1) -> list[Job]:
    """Do all jobs with `at_once` of them open; return them in the order in which they began."""
    began: list[Job] = []
    open_jobs: list[Job] = []
    while not game.is_over:
        while len(open_jobs) < at_once and (job := game.next_job()):
            began.append(job)
            open_jobs.append(job)
        assert open_jobs, "jobs are left and none may start"
        job = open_jobs.pop(0)
        do(job)
        game.ended(job)
    return began


@pytest.mark.parametrize(("scheduler", "at_once"), [("none", 1), ("halving", 1), ("halving", 3)])
def test_each_job_starts_once_after_those_that_it_needs_and_as_early_as_that(fresh, at_once, scheduler):
    game = play_of(plans(scheduler))
    planned = game.total
    began = play_here(game, at_once)
    assert game.errors == []
    assert len(began) == game.total == game.ended_jobs == planned
    position = {(job.kind, job.owner, job.folder, str(job.configuration.get("task", {}).get("steps"))): index
                for index, job in enumerate(began)}  # fmt: skip
    assert len(position) == len(began), "a job was done twice"
    order = {(job.kind, job.owner): index for index, job in enumerate(began)}  # the last one of each
    for run, setting in SETTING.items():
        assert order[TRIAL, setting] < order[TRAINING, run] < order[EVALUATION, run]
    if at_once == 1:  # what is nearer to a result comes first, and a sweep that was begun before another
        kinds = [job.kind for job in began]
        sweeps = [job.owner for job in began if job.kind == TRIAL]
        assert len([pair for pair in pairwise(sweeps) if pair[0] != pair[1]]) == len(SWEEPS) - 1
        for index, job in enumerate(began[:-1]):
            if job.kind == TRAINING:
                assert kinds[index + 1] == EVALUATION
    for plan in plans(scheduler):
        assert plan.is_played()
        rounds_of = Counter(str(job.configuration["task"]["steps"]) for job in began
                            if (job.kind, job.owner) == (TRIAL, plan.key))  # fmt: skip
        course = plan.course()
        asked = [len(tasks) for tasks, _ in course.rounds()]
        assert list(rounds_of.values()) == asked == course.sizes()


def test_the_count_of_jobs_follows_the_finalists_and_ends_at_what_was_done(fresh):
    """Finalists that were cut at a rung are trained to the end beside their other seeds, which no plan can foresee."""
    found = plans("halving")
    for plan in found:
        plan.conf["budget"]["seeds"] = 2
        plan.conf["sweep"]["finalists"] = 3
    game = play_of(found)
    planned, began = game.total, 0
    while job := game.next_job():
        do(job)
        game.ended(job)
        began += 1
        assert began == game.ended_jobs <= game.total
    assert game.is_over and game.total == began > planned, game.errors


def test_trainings_that_are_done_apart_are_counted_once(fresh):
    game = play_of(plans())
    game.trains_apart = True
    planned = game.total
    play_here(game)
    for plan in game.apart:
        list(train_or_diverge(plan.task))
        game.trained(plan)
        assert game.ended_jobs <= game.total == planned
    play_here(game)
    assert game.is_over and not game.apart and game.ended_jobs == game.total == planned, game.errors


def test_what_is_finished_is_not_done_again_and_a_failure_stops_only_what_needs_it(fresh):
    first = play_of(plans())
    job = first.next_job()
    do(job)
    game = play_of(plans())
    began = []
    while job := game.next_job():
        began.append(job)
        if job.owner == "ae-digits" and job.kind == TRIAL:
            game.ended(job, "the disk is full")
        else:
            do(job)
            game.ended(job)
    assert game.is_over and game.ended_jobs == game.total, "what will not be done any more is not waited for"
    assert game.errors == ["sweep ae-digits: the disk is full"]
    assert sum(job.owner == "ae-digits" for job in began) == 1, "the other trials of a failed sweep are not begun"
    assert {job.owner for job in began if job.kind != TRIAL} == {"gmm-digits"}
    assert sum(job.kind == TRIAL and job.owner == "gmm-digits" for job in began) == 2, "one trial was finished before"


def test_a_training_that_diverged_is_told_and_the_line_says_how_to_go_on_with_the_others(fresh):
    """Nothing is left to do here, so no cluster is asked for."""
    asked, settings = params(), {key: {} for key in SWEEPS}
    for run in SETTING:
        plan = training_plan(asked, run, {})
        if run == "ae-digits":
            plan.log.diverge(7, "step 7: the loss is nan")
        else:
            list(train_or_diverge(plan.task))
            evaluation_plan(asked, run, plan.seal()).folder.mkdir(parents=True)
    says = "train ae-digits: step 7: the loss is nan"
    with pytest.raises(PlayError, match=f"^{says}$"):
        play([], SETTING, asked=asked, settings=settings)
    (fresh / "Makefile").touch()
    with pytest.raises(PlayError, match=f'^{says}; .* without ae-digits, run `make repro RUNS="(.*)"`$') as caught:
        play([], SETTING, asked=asked, settings=settings)
    (fresh / "Makefile").unlink()
    assert set(str(caught.value).split('"')[1].split()) == {*SETTING} - {"ae-digits"}


@pytest.mark.parametrize(
    ("fixed", "at", "also"),
    [
        ({}, [2, 3, 6], []),
        ({"budget.trial_steps": 10}, [4, 5, 10], [6]),
        ({"budget.trial_report_every": 4, "sweep.rungs": 1}, [4, 6], []),
    ],
)
def test_a_training_measures_where_its_trial_did_and_so_keeps_nothing_worse(fresh, fixed, at, also):
    """Also where the trial was best before the training's own first report; no samples are drawn for that."""
    whole = params_of(SWEEPS, REUSES)
    whole["sweeps"]["gmm-digits"]["set"] = whole["runs"]["gmm-digits"]["set"] = fixed
    try:
        write_params(fresh, whole)
        plan = sweep_plan(params(), "gmm-digits")
        training = training_plan(params(), "gmm-digits", plan.fixed)
    finally:
        write_params(fresh, params_of(SWEEPS, REUSES))
    trial = plan.tasks[0]
    for until in stops(plan.conf):
        list(train_or_diverge(replace(trial, steps=until)))
    list(train_or_diverge(training.task))
    of_trial = {line["step"]: line["metrics"] for line in RunLog(Path(trial.folder)).history()}
    of_training = {line["step"]: line["metrics"] for line in training.log.history()}
    assert list(of_trial) == at and list(of_training) == sorted({*at, *also, 6, 12})
    for step, metrics in of_trial.items():
        validation = {name: value for name, value in metrics.items() if name.startswith("validation.")}
        assert validation and validation.items() <= of_training[step].items()
    assert sorted(path.name for path in (training.log.folder / "samples").iterdir()) == [
        f"step_{step:08d}.npy" for step in (0, 6, 12)
    ]


def test_the_time_that_is_left_is_told_once_a_tenth_is_done(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = Progress("play", 20, "job")
    for done in range(4):
        now[0] = 100.0 * (done + 1)
        shown.show(done, "x")
    left = [re.search(r", (\d+) s left", line) for line in capsys.readouterr().out.splitlines()]
    assert [found and int(found[1]) for found in left] == [None, None, 1800, 1700]


def test_a_long_job_is_not_silent(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = Progress("play", 3, "job")
    for seconds in range(0, 200, 5):
        now[0] = float(seconds)
        shown.show(1, f"step {seconds}", 3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["65", "130", "195"], "more than a minute after the line before"
