"""chapter/ runs every model by the same graph, conf and code as params.yaml, apart from it; estimate says how long."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gen_models.errors import ConfigError
from pipelines.commands import check, estimate
from pipelines.config.compose import compose
from pipelines.config.params import params
from pipelines.lineage import facts, fingerprint
from pipelines.runtime import paths
from tests.project import HERE, environment

CHAPTER = HERE / "chapter"
MODELS = sorted(path.stem for path in (HERE / "conf" / "model").glob("*.yaml"))
LINKS = ("dvc.yaml", "conf", "gen_models", "pipelines", "requirements.lock")


@pytest.fixture
def chapter(monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(CHAPTER))
    return params()


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_line_in_the_chapter(model, chapter):
    lines = [line.model for line in chapter.sweeps.values()]
    add = f"add a line `{model}-DATA: {{model: {model}, data: DATA}}` under sweeps: in chapter/params.yaml"
    assert lines.count(model) == 1, f"{lines.count(model)} lines sweep conf/model/{model}.yaml: {add}"


def test_the_lines_of_the_chapter_are_sound(chapter, capsys):
    check.main([])
    assert capsys.readouterr().out.startswith("params.yaml and ")
    assert chapter.budget == "smoke"
    assert set(chapter.data) == {line.data for line in chapter.runs.values()}


@pytest.mark.parametrize("name", LINKS)
def test_the_chapter_s_graph_conf_and_code_are_the_repository_s(name):
    assert (CHAPTER / name).readlink() == Path("..", name)
    listed = subprocess.run(["git", "ls-files", "-s", f"chapter/{name}"], cwd=HERE, capture_output=True, text=True)
    if listed.returncode == 0:  # in a clone, not in an unpacked archive
        assert listed.stdout.startswith("120000 ")


def test_every_file_that_the_graph_names_has_its_link():
    stages = yaml.safe_load((HERE / "dvc.yaml").read_text())["stages"].values()
    deps = [dep for stage in stages for dep in stage.get("do", stage)["deps"]]
    assert {dep.split("/")[0] for dep in deps} - {"out", "${item}"} == set(LINKS) - {"dvc.yaml"}


def test_the_two_graphs_have_no_stage_in_common():
    def listed(folder):
        command = [sys.executable, "-m", "dvc", "stage", "list", "--all", "--name-only"]
        done = subprocess.run(command, cwd=folder, env=environment(HERE), capture_output=True, text=True)
        return done.stdout.split()

    of_root, of_chapter = listed(HERE), listed(CHAPTER)
    assert "train@vae-digits" in of_root and "train@glow-mnist5k" in of_chapter
    assert not [name for name in of_root if "chapter" in name or "glow-mnist5k" in name]
    assert not [name for name in of_chapter if ":" in name]  # DVC writes FOLDER/dvc.yaml:STAGE for those elsewhere


def test_a_fingerprint_is_the_same_from_both_folders(monkeypatch):
    found = []
    for folder in (HERE, CHAPTER):
        monkeypatch.setenv("GEN_MODELS_ROOT", str(folder))
        found.append(fingerprint.fingerprint("train", "vae"))
    assert found[0] == found[1] and "gen_models/autoencoders/vae.py" in found[0]["files"]


def test_the_commit_of_the_chapter_notes_changes_of_the_code(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("a: 1\n")
    (tmp_path / "chapter").mkdir()
    (tmp_path / "chapter" / "params.yaml").write_text("seed: 0\n")
    (tmp_path / "chapter" / "conf").symlink_to("../conf")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "a project")):
        command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", *words]
        subprocess.run(command, cwd=tmp_path, check=True)
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path / "chapter"))
    assert re.fullmatch(r"[0-9a-f]{40}", facts.git_commit())
    (tmp_path / "conf" / "config.yaml").write_text("a: 2\n")
    assert re.fullmatch(r"[0-9a-f]{40}\+changes", facts.git_commit())


def test_another_budget_gets_a_project_folder_of_its_own(tmp_path, monkeypatch):
    for name in LINKS:
        (tmp_path / name).symlink_to(HERE / name)
    shutil.copy(HERE / "Makefile", tmp_path / "Makefile")
    (tmp_path / "chapter" / ".dvc").mkdir(parents=True)
    for name in ("params.yaml", ".dvcignore", ".dvc/config"):
        shutil.copy(CHAPTER / name, tmp_path / "chapter" / name)
    subprocess.run(["make", "-s", "chapter/budgets/full/params.yaml"], cwd=tmp_path, check=True)
    folder = tmp_path / "chapter" / "budgets" / "full"
    ours, theirs = (yaml.safe_load((f / "params.yaml").read_text()) for f in (tmp_path / "chapter", folder))
    assert theirs == {**ours, "budget": "full"}
    assert all((folder / name).exists() for name in (*LINKS, ".dvc/config", ".dvcignore"))
    monkeypatch.setenv("GEN_MODELS_ROOT", str(folder))
    assert params().budget == "full" and paths.out() == folder / "out"


def test_the_smoke_budget_warns_and_the_others_do_not(chapter):
    assert compose("vae", "digits", "smoke")["budget"]["note"] == "too short to judge a model"
    assert all("note" not in compose("vae", "digits", name)["budget"] for name in ("quick", "full"))


def test_estimate_times_each_line_and_adds_up(tmp_path, monkeypatch, capsys):
    (tmp_path / "conf").symlink_to(HERE / "conf")
    line = "vae-digits: {model: vae, data: digits}"
    (tmp_path / "params.yaml").write_text(
        f"seed: 0\nbudget: full\nworkers: 1\ndata: [digits]\nsweeps: {{{line}}}\nreuses: {{}}\nruns: {{{line}}}\n"
    )
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    monkeypatch.setattr(estimate, "seconds_per_step", lambda conf, seed: 0.1)
    monkeypatch.setattr(estimate.os, "cpu_count", lambda: 2)
    estimate.main([])
    printed = capsys.readouterr().out.splitlines()
    trials = 24 + 3 * 2  # three finalists with two seeds more
    told = estimate.duration(0.1 * (20_000 + trials * 4_000 / 2))
    assert printed[0] == f"vae-digits: {trials} trials x 4000 and 20000 steps, 100 ms each: {told}"
    assert printed[1].startswith(f"about {told} for the steps of budget full on 2 cores")
    estimate.main(["vae-digits"])
    assert capsys.readouterr().out.splitlines() == printed
    with pytest.raises(ConfigError, match="unknown run 'vae-digit': did you mean 'vae-digits'"):
        estimate.main(["vae-digit"])


def test_estimate_gives_a_reuse_the_steps_that_its_sweep_sets(tmp_path, monkeypatch):
    (tmp_path / "conf").symlink_to(HERE / "conf")
    sweep = {"model": "vae", "data": "digits", "set": {"budget.steps": 7}}
    reuse = {"model": "vae", "data": "digits_normal", "setting": "long"}
    graph = {"seed": 0, "budget": "quick", "workers": 1, "data": ["digits", "digits_normal"]}
    lines = {"sweeps": {"long": sweep}, "reuses": {"reuse": reuse}, "runs": {"long": sweep, "reuse": reuse}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**graph, **lines}))
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    found = params()
    assert [estimate.conf_of(line, found)["budget"]["steps"] for line in found.runs.values()] == [7, 7]


def test_estimate_times_steps_of_each_kind_of_model(monkeypatch):
    monkeypatch.setattr(estimate, "SECONDS", 0.05)
    for model in ("gmm", "sn_wgan", "vq_vae"):  # a density, a game, a model with a warm start
        assert 1e-5 < estimate.seconds_per_step(compose(model, "digits", "quick"), seed=0) < 5


def test_estimate_refuses_what_cannot_be_built():
    conf = compose("glow", "two_moons", "quick")
    with pytest.raises(ConfigError, match="is no image"):
        estimate.seconds_per_step(conf, seed=0)


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 minutes"), (12_600, "3.5 hours")])
def test_a_time_is_told_in_its_unit(seconds, text):
    assert estimate.duration(seconds) == text
