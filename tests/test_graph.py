"""The whole graph in a small project: what is redone when, and what the registry holds after it."""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.project import PARAMS, call, make_project

pytestmark = pytest.mark.slow
FLOW = {"model": "realnvp", "family": "flows", "data": "digits"}
GAME = {"model": "sn_wgan", "family": "adversarial", "data": "digits"}
LINES = {"vae-digits": PARAMS["sweeps"]["vae-digits"], "realnvp-digits": FLOW, "sn_wgan-digits": GAME}
SUMMARIES = {"detect", "cluster", "denoise", "compress", "report"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Three families, tiny budgets, nothing swept: all stages have run."""
    params = {**PARAMS, "sweeps": LINES, "runs": {key: {**line, "setting": key} for key, line in LINES.items()}}
    budget = {"steps": 60, "trial_steps": 20, "trials": 1, "reports": 3, "checkpoints": 3}
    folder = make_project(tmp_path_factory.mktemp("graph") / "project", params=params, budget=budget)
    for path in (folder / "conf" / "model").glob("*.yaml"):
        conf = yaml.safe_load(path.read_text())
        conf["sweep"]["space"] = {}
        conf.pop("budgets", None)
        path.write_text("# @package _global_\n" + yaml.safe_dump(conf, sort_keys=False))
    repro(folder)
    return folder


def repro(project: Path) -> set[str]:
    """`dvc repro`; the stages that it ran a command for."""
    done = call(project, "dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"Running stage '([^']+)'", done.stdout))


def due(project: Path) -> set[str]:
    """The stages that a repro would begin with: those whose own dependencies changed."""
    done = call(project, "dvc", "status", "--json")
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@contextmanager
def edited(path: Path, before: str, after: str) -> Iterator[None]:
    """A file with one piece of its text replaced, for the length of the block."""
    text = path.read_text() if path.exists() else None
    assert text is None or before in text
    path.write_text(after if text is None else text.replace(before, after, 1))
    try:
        yield
    finally:
        path.unlink() if text is None else path.write_text(text)


def of_run(*keys: str) -> set[str]:
    return {f"{verb}@{key}" for verb in ("sweep", "train", "evaluate", "register") for key in keys}


def candidates(project: Path) -> dict[str, str]:
    with sqlite3.connect(project / "mlflow.db") as store:
        found = store.execute("select name, version from registered_model_aliases where alias = 'candidate'")
        return {name: str(version) for name, version in found.fetchall()}


def versions(project: Path, model: str) -> int:
    with sqlite3.connect(project / "mlflow.db") as store:
        return store.execute("select count(*) from model_versions where name = ?", (model,)).fetchone()[0]


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_every_output_is_there(project):
    for key in LINES:
        assert (project / "out" / "train" / key / "checkpoint" / "weights.safetensors").is_file()
        assert json.loads((project / "out" / "evaluate" / key / "metrics.json").read_text())["rows"] > 0
    assert candidates(project) == dict.fromkeys(LINES, "1")
    assert (project / "reports" / "index.html").is_file()


def test_a_second_repro_runs_nothing(project):
    assert repro(project) == set()


def test_editing_a_models_conf_redoes_its_stages_and_the_summaries_only(project):
    with edited(project / "conf" / "model" / "vae.yaml", "beta: 1.0", "beta: 2.0"):
        assert due(project) == {"sweep@vae-digits", "train@vae-digits"}
    assert due(project) == set()


@pytest.mark.parametrize(
    ("path", "touched"),
    [
        ("gen_models/adversarial/sn_wgan.py", {"sn_wgan-digits"}),
        ("gen_models/flows/realnvp.py", {"realnvp-digits"}),
        ("gen_models/engine.py", set(LINES)),
        ("README.md", set()),
    ],
)
def test_editing_code_redoes_the_runs_that_depend_on_it(project, path, touched):
    with edited(project / path, "\n", "\n\n"):
        assert due(project) == {f"{verb}@{key}" for verb in ("sweep", "train") for key in touched}


def test_there_and_back_again_ends_with_the_first_version_without_training_it_again(project):
    """beta 1 -> 4 -> 1: DVC restores the outputs from its run cache; the registry must follow."""
    conf = project / "conf" / "model" / "vae.yaml"
    edit(conf, "beta: 1.0", "beta: 4.0")
    assert repro(project) == of_run("vae-digits") | SUMMARIES
    assert candidates(project)["vae-digits"] == "2"
    edit(conf, "beta: 4.0", "beta: 1.0")
    ran = repro(project)
    assert "register@vae-digits" in ran
    assert candidates(project)["vae-digits"] == "1"
    assert versions(project, "vae-digits") == 2
    assert json.loads((project / "out" / "register" / "vae-digits" / "version.json").read_text())["version"] in (1, "1")


def test_a_lost_store_is_rebuilt_by_sync_and_the_graph_stays_up_to_date(project):
    (project / "mlflow.db").unlink()
    shutil.rmtree(project / "mlartifacts")
    done = call(project, "gen-models", "sync")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(candidates(project)) == set(LINES)
    assert not {stage for stage in repro(project) if stage.startswith(("sweep", "train", "evaluate"))}


def test_a_registered_model_answers_on_the_command_line(project):
    done = call(project, "gen-models", "sample", "vae-digits@champion", "--n", "3")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) in (3, 4)
    wrong = call(project, "gen-models", "sample", "vae-digits@champoin")
    assert wrong.returncode != 0
    assert "did you mean 'champion'" in wrong.stderr and "Traceback" not in wrong.stderr
