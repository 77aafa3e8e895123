"""People's own files: DVC watches them, an edit repeats what follows from it, and DVC may keep their versions."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from gen_models.errors import ConfigError
from pipelines.commands import check
from pipelines.config.conf_files import data_conf
from pipelines.config.data_files import check_file, watched
from pipelines.config.params import params
from pipelines.config.params_edit import adding
from pipelines.runtime.repository import require_repository
from tests.project import HERE, call, make_project, params_of, write_params

SHARES = {"train": 0.5, "validation": 0.2, "test": 0.3}
DOCS = (HERE / "docs" / "data.md").read_text()
(COMMANDS,) = re.findall(r"### Your files under DVC\n.*?```bash\n(.*?)```", DOCS, re.DOTALL)


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project", {**params_of({}), "data": []})
    monkeypatch.setenv("GEN_MODELS_ROOT", str(folder))
    return folder


def write_table(path: Path, rows: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(0).normal(size=(rows, 2))
    path.write_text("a,b\n" + "".join(f"{a:.4f},{b:.4f}\n" for a, b in numbers))


def write_images(folder: Path, count: int = 30) -> None:
    folder.mkdir(parents=True)
    for k, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{k}.png")


def write_conf(project: Path, name: str, source: str, shape: list[int], **options) -> None:
    levels = 256 if len(shape) > 1 else None
    shaped = {"columns": {"a": {}, "b": {}}} if source == "table" else {"event_shape": shape, "levels": levels}
    conf = {"name": name, "source": source, "options": options, **shaped}
    text = yaml.safe_dump({**conf, "split": SHARES, "anomaly": None}, sort_keys=False)
    (project / "conf" / "data" / f"{name}.yaml").write_text(text)


def write_files(project: Path, **files: str) -> None:
    write_params(project, {**yaml.safe_load((project / "params.yaml").read_text()), "files": files})


def ran(project: Path, *stages: str) -> set[str]:
    done = call(project, "dvc", "repro", *stages)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"Running stage '([^']+)'", done.stdout))


def test_check_refuses_a_path_that_is_not_the_one_that_is_read_and_its_fix_is_taken(project, tmp_path, capsys):
    for path in ("data/t.csv", "data/other.csv", "pair/x.npy", "pair/y.npy"):
        write_table(project / path)
    write_conf(project, "t", "table", [2], path="data/t.csv")
    write_conf(project, "pair", "npy", [2], path="pair/x.npy", labels=str(project / "pair/y.npy"))
    write_files(project, t="data/other.csv")
    with pytest.raises(
        ConfigError, match=r"files\.t: 'data/other\.csv' is not what conf/data/t\.yaml reads: write 'data/t\."
    ):
        check.main([])
    write_files(project, pair="pair/x.npy")
    with pytest.raises(ConfigError, match=r"reads: write 'pair' here, or correct options there"):
        check.main([])
    write_files(project, t=".")
    with pytest.raises(ConfigError, match="holds what the stages write; move"):
        check.main([])
    write_files(project, t="data/t.csv", pair="pair")
    check.main([])
    write_conf(project, "pair", "npy", [2], path="pair/x.npy", labels="y.npy")
    lost, found = str(project / "y.npy"), str(project / "pair" / "y.npy")
    with pytest.raises(ConfigError, match=f"options.labels: there is no {lost}; .* or is absolute; write '{found}'"):
        check.main([])
    write_conf(project, "pair", "npy", [2], path="pair/x.npy", labels=found)
    write_files(project, t=str(project / "data" / "t.csv"))
    check.main([])
    (project / "data" / "t.csv").unlink()
    with pytest.raises(ConfigError, match="no such file or folder; correct the path, or put it there"):
        check.main([])
    (project / "data" / "t.csv.dvc").touch()
    with pytest.raises(ConfigError, match=r"no such file or folder; run `dvc pull \S+/data/t\.csv\.dvc`"):
        check.main([])
    write_params(project, {**params_of({}), "data": ["t"]})
    capsys.readouterr()
    check.main([])
    assert "note: data: t: DVC sees no edit; write `t: data/t.csv` under files: instead" in capsys.readouterr().out


def test_what_is_watched_is_what_check_takes(project, tmp_path):
    cases = [
        ({"path": "data/t.csv"}, "data/t.csv"),
        ({"path": str(project / "data" / "t.csv")}, "data/t.csv"),
        ({"path": str(tmp_path / "t.csv")}, str(tmp_path / "t.csv")),
        ({"path": "d/x.npy", "labels": "d/y.npy"}, "d"),
    ]
    for options, expected in cases:
        assert watched(options) == expected
        write_conf(project, "t", "table", [2], **options)
        write_files(project, t=expected)
        check_file(params(), "t", data_conf("t"))
    with pytest.raises(ConfigError, match="move the data into a folder of their own"):
        watched({"path": "x.npy", "labels": "y.npy"})


def test_without_git_play_says_what_to_do(project):
    require_repository()
    shutil.rmtree(project / ".git")
    with pytest.raises(ConfigError, match=r"run `git init`, or `dvc config --local core.no_scm true`"):
        require_repository()
    (project / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    require_repository()


@pytest.mark.slow
def test_an_edit_of_a_file_or_folder_prepares_its_data_set_again_and_no_other(project, tmp_path):
    far = tmp_path / "far away" / "a b, #1.csv"
    write_table(project / "data" / "t.csv")
    write_table(far)
    write_images(project / "data" / "photos")
    write_conf(project, "2024_01", "table", [2], path="data/t.csv")
    write_conf(project, "far", "table", [2], path=str(far))
    write_conf(project, "photos", "image_folder", [1, 8, 8], path="data/photos")
    write_files(project, **{"2024_01": "data/t.csv", "far": str(far), "photos": "data/photos"})
    check.main([])
    every = [f"prepare_files@{name}" for name in ("2024_01", "far", "photos")]
    assert ran(project, *every) == {"code", *every}
    assert ran(project, *every) == set()
    with far.open("a") as file:
        file.write("0.5,0.25\n")
    assert ran(project, *every) == {"prepare_files@far"}
    Image.fromarray(np.full((8, 8), 7, dtype=np.uint8)).save(project / "data" / "photos" / "more.png")
    assert ran(project, *every) == {"prepare_files@photos"}
    (project / "data" / "t.csv").write_text((project / "data" / "t.csv").read_text().replace("\n0", "\n1", 1))
    assert ran(project, *every) == {"prepare_files@2024_01"}
    assert ran(project, *every, "baselines_files@far") == {"baselines_files@far"}


@pytest.mark.slow
@pytest.mark.parametrize("links", ["copy", "hardlink", "symlink"])
def test_the_commands_of_the_docs_bring_photos_back_and_notice_an_edit(project, links):
    """Run in a project whose cache holds copies of the images, or is linked to by them."""
    photos, stage = project / "data" / "photos", "prepare_files@photos"
    write_images(photos)
    for words in (("user.name", "test"), ("user.email", "test@example.org")):
        call(project, "git", "config", *words)
    call(project, "dvc", "config", "cache.type", links)
    for line in COMMANDS.splitlines():
        done = call(project, "bash", "-c", line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    conf = project / "conf" / "data" / "photos.yaml"
    conf.write_text(re.sub(r", sha256: \w+", "", conf.read_text()))
    adding("photos", "data/photos", ["vae"]).write()
    assert (photos / "0.png").is_symlink() == (links == "symlink")
    assert (photos / "0.png").stat().st_nlink == (1 if links == "copy" else 1 + (links == "hardlink"))
    check.main([])
    kept = [path for path in (project / ".dvc" / "cache" / "files").rglob("*") if path.is_file()]
    assert ran(project, stage) == {"code", stage}
    shutil.rmtree(photos)
    for path in kept:
        path.unlink()
    with pytest.raises(ConfigError, match=r"run `dvc pull data/photos\.dvc`"):
        check.main([])
    assert call(project, "dvc", "pull", "data/photos.dvc").returncode == 0
    assert ran(project, stage) == set()
    tracked = (project / "data" / "photos.dvc").read_text()
    assert call(project, "dvc", "unprotect", "data/photos").returncode == 0
    Image.fromarray(np.full((8, 8), 7, dtype=np.uint8)).save(photos / "0.png")
    assert ran(project, stage) == {stage}
    assert (project / "data" / "photos.dvc").read_text() != tracked


@pytest.mark.slow
def test_play_prepares_an_edited_file_and_the_graph_goes_on_from_it(project):
    write_table(project / "data" / "t.csv", rows=400)
    write_conf(project, "2024_01", "table", [2], path="data/t.csv")
    budget = {"name": "tiny", "steps": 12, "trial_steps": 6, "trials": 1, "reports": 2, "checkpoints": 1}
    (project / "conf" / "budget" / "tiny.yaml").write_text(yaml.safe_dump(budget))
    adding("2024_01", "data/t.csv", ["gmm"]).write()
    folders = []
    for _ in range(2):
        done = call(project, "gen-models", "play")
        assert done.returncode == 0, done.stdout + done.stderr
        folders.append({path.name for path in (project / "work" / "train").iterdir()})
        write_table(project / "data" / "t.csv", rows=401)
    assert folders[0] < folders[1]
    verbs = ("sweep@gmm-2024_01", "train@gmm-2024_01", "evaluate@gmm-2024_01", "baselines_files@2024_01")
    assert ran(project) == {*verbs, "compare", "register", "report"}
    assert ran(project) == set()
