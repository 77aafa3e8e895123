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

from tests.project import call, candidates, make_project, params_of
from tests.trained import files

pytestmark = pytest.mark.slow
SWEEPS = {
    "vae-digits": ("vae", "digits"),
    "sn_wgan-digits": ("sn_wgan", "digits"),
    "dcgan-digits": ("dcgan", "digits"),
    "spline_flow-two_moons": ("spline_flow", "two_moons"),
}
REUSES = {"vae-two_moons": ("vae", "two_moons", "vae-digits")}
RUNS = [*SWEEPS, *REUSES]
DATA = ("digits", "two_moons")
SUMMARIES = {"compare", "register", "report"}
SECONDS = 1800  # for the whole graph, on two cores that have other work


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Three families, tiny budgets, nothing swept: all stages have run."""
    budget = {"steps": 60, "trial_steps": 20, "trials": 1, "reports": 3, "checkpoints": 3}
    params = params_of(SWEEPS, REUSES)
    folder = make_project(tmp_path_factory.mktemp("graph") / "project", params=params, budget=budget)
    for path in (folder / "conf" / "model").glob("*.yaml"):
        conf = yaml.safe_load(path.read_text())
        conf["sweep"]["space"] = {}
        conf.pop("budgets", None)
        path.write_text("# @package _global_\n" + yaml.safe_dump(conf, sort_keys=False))
    moons = folder / "conf" / "data" / "two_moons.yaml"
    moons.write_text(moons.read_text().replace("rows: 40000", "rows: 1200"))
    repro(folder)
    return folder


def repro(project: Path, *stages: str) -> set[str]:
    """`dvc repro`; the stages that it ran a command for. None of them imported what its fingerprint leaves out."""
    done = call(project, "dvc", "repro", *stages, seconds=SECONDS)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not re.findall(r".*(?:left out of|leaves it out).*", said)
    return set(re.findall(r"Running stage '([^']+)'", done.stdout))


def due(project: Path) -> set[str]:
    """The stages that a repro would begin with: those whose own dependencies changed."""
    done = call(project, "dvc", "status", "--json")
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@contextmanager
def edited(project: Path, name: str, before: str, after: str) -> Iterator[None]:
    """A file with one piece of its text replaced and out/code brought up to it, for the length of the block.

    before: "" adds the text at the file's end
    """
    path = project / name
    text = path.read_text() if path.exists() else None
    assert text is None or before in text
    changed = after if text is None else text.replace(before, after, 1) if before else text + after
    path.write_text(changed)
    try:
        repro(project, "code")
        yield
    finally:
        path.unlink() if text is None else path.write_text(text)
        repro(project, "code")


def of_run(*keys: str) -> set[str]:
    """The stages that are a run's own; a run that reuses a setting has a copy of it in place of a sweep."""
    return {f"{'reuse' if verb == 'sweep' and key in REUSES else verb}@{key}" for verb in VERBS for key in keys}


VERBS = ("sweep", "train", "evaluate")
ALL_DATA = {f"baselines@{name}" for name in DATA}
SWEPT = {f"sweep@{key}" for key in SWEEPS}
TRAINED = {f"train@{key}" for key in RUNS}
EVALUATED = {f"evaluate@{key}" for key in RUNS}


def versions(project: Path, model: str) -> int:
    with sqlite3.connect(project / "mlflow.db") as store:
        return store.execute("select count(*) from model_versions where name = ?", (model,)).fetchone()[0]


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_every_output_is_there(project):
    for key in RUNS:
        assert (project / "out" / "train" / key / "checkpoint" / "weights.safetensors").is_file()
        assert json.loads((project / "out" / "evaluate" / key / "metrics.json").read_text())["rows"] > 0
    for part in ("anomalies", "clusters", "denoising", "compression"):
        assert isinstance(json.loads((project / "out" / "compare" / part / "scores.json").read_text()), list)
    for key, (_, _, setting) in REUSES.items():
        reused = {path.name: path.read_bytes() for path in (project / "out" / "sweep" / key).iterdir()}
        swept = project / "out" / "sweep" / setting
        assert reused == {name: (swept / name).read_bytes() for name in ("best.json", "setting.json")}
    assert candidates(project) == dict.fromkeys(RUNS, "1")
    assert (project / "reports" / "index.html").is_file()
    assert not (project / "out" / "register").exists()


def test_some_runs_have_pages_of_their_own_and_the_graph_does_not_notice(project):
    before = files(project / "reports")
    done = call(project, "gen-models", "report", "vae-digits", seconds=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\nout/report/index.html: runs vae-digits\n"), done.stdout
    page = (project / "out" / "report" / "index.html").read_text()
    assert "vae-digits" in page and not any(key in page for key in RUNS if key != "vae-digits")
    assert files(project / "reports") == before


def test_a_second_repro_runs_nothing(project):
    assert repro(project) == set()


def test_editing_a_models_conf_redoes_its_sweep_and_its_trainings(project):
    with edited(project, "conf/model/vae.yaml", "beta: 1.0", "beta: 2.0"):
        assert due(project) == {"sweep@vae-digits", "train@vae-digits", "train@vae-two_moons", "report"}
    assert due(project) == set()


MORE = "\nONE_MORE = 1\n"


@pytest.mark.parametrize(
    ("path", "before", "after", "stale"),
    [
        ("gen_models/adversarial/dcgan.py", "", MORE, of_run("dcgan-digits")),
        ("gen_models/layers/dcgan.py", "", MORE, of_run("dcgan-digits")),
        ("gen_models/bijections/spline.py", "", MORE, of_run("spline_flow-two_moons")),
        ("pipelines/figures/style.py", "", MORE, EVALUATED | ALL_DATA | SUMMARIES),
        ("pipelines/report/leaderboard_columns.py", "", MORE, {"report"}),
        ("pipelines/training/ray_train.py", "", MORE, set()),
        ("pipelines/tracking/live_run.py", "", MORE, set()),
        ("gen_models/engine.py", "\nimport ", "\n# a comment\n\nimport ", set()),
        ("README.md", "", "\nA line more.\n", set()),
    ],
)
def test_an_edit_makes_exactly_these_stages_stale(project, path, before, after, stale):
    with edited(project, path, before, after):
        assert due(project) == stale
    assert due(project) == set()


def test_an_edit_of_the_engine_makes_every_training_stale(project):
    with edited(project, "gen_models/engine.py", "", MORE):
        assert due(project) == SWEPT | TRAINED | EVALUATED | ALL_DATA | SUMMARIES
    assert due(project) == set()


def test_a_module_that_no_import_statement_names_is_warned_of(project):
    loads = '\n__import__("importlib").import_module("pipelines.commands.games")\n'
    path = project / "pipelines" / "comparison" / "compare.py"
    text = path.read_text()
    path.write_text(text.replace('\n\nif __name__ == "__main__":', f'\n{loads}\n\nif __name__ == "__main__":'))
    try:
        done = call(project, "python", "-m", "pipelines.comparison.compare")
    finally:
        path.write_text(text)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert "warning: pipelines.commands.games was imported, and out/code leaves it out of what compare runs on" in told
    assert due(project) == set(), "it wrote what was there"


def test_there_and_back_again_ends_with_the_first_version_without_training_it_again(project):
    """beta 1 -> 4 -> 1: DVC restores the outputs from its run cache; the registry must follow."""
    conf = project / "conf" / "model" / "vae.yaml"
    edit(conf, "beta: 1.0", "beta: 4.0")
    assert repro(project) == of_run("vae-digits", "vae-two_moons") | SUMMARIES | {"code"}
    assert candidates(project)["vae-digits"] == candidates(project)["vae-two_moons"] == "2"
    edit(conf, "beta: 4.0", "beta: 1.0")
    assert repro(project) == {"register"}
    assert candidates(project) == dict.fromkeys(RUNS, "1")
    assert versions(project, "vae-digits") == 2


def test_a_lost_store_is_rebuilt_by_register_and_the_graph_stays_up_to_date(project):
    (project / "mlflow.db").unlink()
    shutil.rmtree(project / "mlartifacts")
    done = call(project, "gen-models", "register")
    assert done.returncode == 0, done.stdout + done.stderr
    assert candidates(project) == dict.fromkeys(RUNS, "1")
    assert repro(project) == set()


def test_a_registered_model_answers_on_the_command_line(project):
    done = call(project, "gen-models", "sample", "vae-digits@champion", "--n", "3")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) in (3, 4)
    wrong = call(project, "gen-models", "sample", "vae-digits@champoin")
    assert wrong.returncode != 0
    assert "did you mean 'champion'" in wrong.stderr and "Traceback" not in wrong.stderr
