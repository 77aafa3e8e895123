"""What one person has run, a colleague with the same DVC remote has too, and runs nothing again."""

import shutil
import subprocess

import pytest

from tests.project import call, make_project, params_of

pytestmark = pytest.mark.slow
PARAMS = params_of({"gmm-digits": ("gmm", "digits"), "vae-digits": ("vae", "digits")})


def git(folder, *words):
    name = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


def run(folder, *command):
    done = call(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_colleague_pulls_and_runs_nothing(tmp_path):
    mine = make_project(tmp_path / "mine", PARAMS)
    run(mine, "dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    run(mine, "python", "-m", "pipelines.cli", "play")
    run(mine, "dvc", "repro")
    git(mine, "add", ".dvc/config", "dvc.lock")
    git(mine, "commit", "-m", "results")
    run(mine, "dvc", "push", "--run-cache")

    git(tmp_path, "clone", "-q", str(mine), "theirs")
    theirs = tmp_path / "theirs"
    run(theirs, "dvc", "pull", "--run-cache")
    assert "Running stage" not in run(theirs, "dvc", "repro")
    assert "sweep" not in run(theirs, "python", "-m", "pipelines.cli", "play")
    assert not (theirs / "work" / "train").exists()
    assert (theirs / "reports" / "index.html").read_bytes() == (mine / "reports" / "index.html").read_bytes()

    shutil.rmtree(theirs / "out")  # the run cache restores outputs that only the stages' inputs name
    (theirs / "dvc.lock").unlink()
    said = run(theirs, "dvc", "repro")
    assert "cached - skipping run, checking out outputs" in said
    assert said.count("Running stage") == said.count("Running stage 'register'") + said.count("Running stage 'code'")
