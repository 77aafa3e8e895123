"""kill -9 in the middle, then `dvc repro` again: the end is bit for bit that of the undisturbed run.

Real processes: dvc, its stages, Ray's cluster and workers. Nothing that was finished is run twice, no step is
logged twice, and nothing outlives the dvc that started it.
"""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.project import call, environment, make_project, start

pytestmark = pytest.mark.slow
GOALS = ("dvc", "repro", "train@vae-digits")
PATIENCE = 180.0


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A path with a space and a letter beyond ASCII, as people's folders have."""
    budget = {"steps": 3000, "trial_steps": 1500, "trials": 4, "reports": 20, "checkpoints": 10}
    return make_project(tmp_path_factory.mktemp("faults") / "my projéct", budget=budget)


@pytest.fixture(scope="module")
def undisturbed(project) -> dict[str, str]:
    return finish(project)


@pytest.fixture
def fresh(project, undisturbed) -> Path:
    """The project as cloned: every scenario starts from nothing."""
    for name in ("out", "work", "mlartifacts", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(project / name, ignore_errors=True)
    for name in ("mlflow.db", "dvc.lock"):
        (project / name).unlink(missing_ok=True)
    return project


def finish(project: Path) -> dict[str, str]:
    """`dvc repro` to its end; the sha256 of every output file."""
    done = call(project, *GOALS)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [p for p in sorted((project / "out").rglob("*")) if p.is_file()]
    return {str(p.relative_to(project)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def wait(condition: Callable[[], object], what: str) -> object:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.02)
    return found


def lines(project: Path, pattern: str) -> int:
    """The most reports that any run log of a kind holds by now."""
    return max((p.read_text().count("\n") for p in project.glob(f"work/{pattern}/history.jsonl")), default=0)


def keeper(project: Path) -> psutil.Process | None:
    """The process that holds the project's shared cluster."""
    for note in project.glob("work/cluster/*.json"):
        try:
            return psutil.Process(json.loads(note.read_text())["keeper"])
        except (psutil.NoSuchProcess, ValueError, FileNotFoundError):
            continue
    return None


def named(project: Path, word: str) -> psutil.Process | None:
    """A process of the project's cluster by its title."""
    holder = keeper(project)
    for process in holder.children(recursive=True) if holder else []:
        try:
            if word in " ".join(process.cmdline()):
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def own(project: Path) -> list[psutil.Process]:
    """Every live process that runs in this project's environment."""
    mark = environment(project)["PYTHONPATH"]
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PYTHONPATH") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def check_each_step_is_logged_once(project: Path) -> None:
    with sqlite3.connect(project / "mlflow.db") as store:
        logged = Counter(store.execute("select run_uuid, key, step from metrics").fetchall())
    assert logged
    assert max(logged.values()) == 1, [row for row, count in logged.items() if count > 1][:3]


def no_process_is_left(project: Path) -> None:
    wait(lambda: not own(project), f"processes to end: {[p.cmdline() for p in own(project)]}")


def test_kill_9_of_the_training_worker(fresh, undisturbed):
    """Ray Train starts another worker within the same command; the run log tells it where to go on."""
    dvc = start(fresh, *GOALS)
    wait(lambda: lines(fresh, "train/*") >= 4, "the training's fourth report")
    wait(lambda: named(fresh, "RayTrainWorker"), "the worker").kill()
    assert dvc.wait(PATIENCE) == 0
    assert finish(fresh) == undisturbed
    check_each_step_is_logged_once(fresh)


def test_kill_9_of_a_trial(fresh, undisturbed):
    dvc = start(fresh, *GOALS)
    wait(lambda: lines(fresh, "sweep/*/*") >= 3, "a trial's third report")
    wait(lambda: named(fresh, "ImplicitFunc"), "a trial's actor").kill()
    assert dvc.wait(PATIENCE) == 0
    assert finish(fresh) == undisturbed


@pytest.mark.parametrize(
    "moment", ["sweep/*/*/latest/resume.json", "train/*/latest/resume.json", "evaluate/.*.unfinished"]
)
def test_kill_9_of_play(fresh, undisturbed, moment):
    """In a trial, in a training and in an evaluation: what was recorded stays, and the end is the same bits."""
    play = start(fresh, "python", "-m", "pipelines.training.play", "vae-digits")
    wait(lambda: list(fresh.glob(f"work/{moment}")), moment)
    play.kill()
    play.wait()
    no_process_is_left(fresh)
    saved = {p: p.read_bytes() for p in fresh.glob("work/train/*/history.jsonl")}
    done = call(fresh, "python", "-m", "pipelines.training.play", "vae-digits")
    assert done.returncode == 0, done.stdout + done.stderr
    for path, text in saved.items():
        assert path.read_bytes()[: len(text) // 2] == text[: len(text) // 2]
    found = finish(fresh)
    assert found == undisturbed
    check_each_step_is_logged_once(fresh)


def test_kill_9_of_the_sweeps_driver(fresh, undisturbed):
    dvc = start(fresh, *GOALS)

    def finished() -> list[Path]:
        """Run logs whose last step is saved: the line alone is written before it is."""
        saved = sorted(fresh.glob("work/sweep/*/*/latest/resume.json"))
        return [p.parent.parent / "history.jsonl" for p in saved if json.loads(p.read_text())["step"] == 1500]

    def begun() -> list[Path]:
        logs = set(fresh.glob("work/sweep/*/*/history.jsonl")) - set(finished())
        return [path for path in logs if path.read_text().count("\n") >= 2]

    wait(lambda: finished() and begun(), "a finished trial and one in training")
    driver = next(
        p for p in psutil.Process(dvc.pid).children(recursive=True) if "pipelines.training.sweep" in p.cmdline()
    )
    driver.kill()
    assert dvc.wait(PATIENCE) != 0
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in finished()[:2]}
    no_process_is_left(fresh)
    sweep = call(fresh, "dvc", "repro", "sweep@vae-digits")
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    for path, (time_of_its_last_line, _) in before.items():
        assert path.stat().st_mtime_ns == time_of_its_last_line, f"{path} was trained again"
    assert finish(fresh) == undisturbed
    check_each_step_is_logged_once(fresh)


@pytest.mark.parametrize(("moment", "pattern"), [("sweep", "sweep/*/*"), ("train", "train/*")])
def test_kill_9_of_dvc_itself(fresh, undisturbed, moment, pattern):
    """The stage and the shared cluster end with the dvc that started them; a second dvc takes over at once."""
    dvc = start(fresh, *GOALS)
    wait(lambda: lines(fresh, pattern) >= 3, f"the third report of the {moment}")
    dvc.kill()
    dvc.wait()
    assert finish(fresh) == undisturbed
    no_process_is_left(fresh)
    check_each_step_is_logged_once(fresh)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_that_is_told_to_end_says_so_and_resumes(fresh, undisturbed, sent, code):
    assert call(fresh, "dvc", "repro", "prepare@digits").returncode == 0
    for verb, pattern in (("sweep", "sweep/*/*"), ("train", "train/*")):
        log = f"{verb}-{code}"
        stage = start(fresh, "python", "-m", f"pipelines.training.{verb}", "vae-digits", log=log)
        wait(lambda pattern=pattern: lines(fresh, pattern) >= 4, f"the fourth report of the {verb}")
        os.kill(stage.pid, sent)
        assert stage.wait(PATIENCE) == code
        told = (fresh.parent / f"{fresh.name}.{log}").read_text()
        assert "run the same command to continue" in told and "Traceback" not in told and "***" not in told
        no_process_is_left(fresh)
        assert not (fresh / "out" / verb / "vae-digits").exists()
        assert call(fresh, "dvc", "repro", f"{verb}@vae-digits").returncode == 0
    assert finish(fresh) == undisturbed
    check_each_step_is_logged_once(fresh)


def test_ctrl_c_at_the_terminal_of_a_sweep_is_not_taken_for_its_end(fresh, undisturbed):
    """Ctrl-C reaches the whole process group: dvc and its stage."""
    dvc = start(fresh, *GOALS)
    wait(lambda: lines(fresh, "sweep/*/*") >= 3, "a trial's third report")
    os.killpg(dvc.pid, signal.SIGINT)
    assert dvc.wait(PATIENCE) != 0
    assert not (fresh / "out" / "sweep" / "vae-digits").exists()
    assert finish(fresh) == undisturbed
    no_process_is_left(fresh)


def test_two_repros_at_once_leave_one_good_result(fresh, undisturbed):
    first, second = start(fresh, *GOALS), start(fresh, *GOALS)
    codes = {first.wait(PATIENCE), second.wait(PATIENCE)}
    assert 0 in codes
    assert finish(fresh) == undisturbed


def test_a_second_repro_runs_nothing(fresh):
    finish(fresh)
    again = call(fresh, *GOALS)
    assert again.returncode == 0
    assert "Running stage" not in again.stdout
