"""params.yaml edited by the program: what was there stays byte for byte, and what is added is what was asked for."""

import re

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from gen_models.errors import ConfigError
from pipelines.config.params import params
from pipelines.config.params_edit import adding, data_name, removing
from tests.project import HERE

HEAD = "seed: 0\nbudget: quick # of conf/budget\nworkers: 1\n"
OURS = (HERE / "params.yaml").read_text()
MERGED = "reuses: &reuses {}\nruns:\n  <<: [*sweeps, *reuses]\n"
LINE = "  gmm-digits: {model: gmm, data: digits} # the first\n"
LAYOUTS = {
    "ours": OURS,
    "chapter": (HERE / "chapter" / "params.yaml").read_text(),
    "no files": HEAD + "data: [digits] # built in\n\n# sweeps\nsweeps: &sweeps\n" + LINE + "\n" + MERGED,
    "files in lines": HEAD
    + "data:\n  - digits\nfiles:\n    iris: data/iris.csv # mine\n    # the end\nsweeps: &sweeps\n"
    + LINE
    + MERGED,
    "files in braces": HEAD
    + "data: [digits]\nfiles: {iris: data/iris.csv, wine: w.csv, } # mine\nsweeps: &sweeps\n"
    + LINE
    + MERGED,
    "all in braces": HEAD
    + "data: [digits]\nfiles: {\n  iris: data/iris.csv # mine\n}\n"
    + "sweeps: &sweeps {gmm-digits: {model: gmm, data: digits}}\n"
    + "reuses: &reuses {}\nruns: {<<: [*sweeps, *reuses]}\n",
    "nothing swept": HEAD + "data: []\nfiles: {} # mine\nsweeps: &sweeps {} # none\n" + MERGED,
    "null": HEAD + "data: []\nfiles: # mine\nsweeps: # none\n\nreuses: {}\nruns: {}\n",
    "runs repeat the lines": HEAD + "data: [digits]\nsweeps:\n" + LINE + "reuses: {}\nruns:\n" + LINE,
    "empty runs": HEAD + "data: []\nsweeps: {}\nreuses: {}\nruns: {}\n",
    "lines below one another": HEAD
    + "data: [digits]\nsweeps: &sweeps\n  gmm-digits:\n    model: gmm\n    data: digits\n"
    + MERGED,
    "of a program": yaml.safe_dump(yaml.safe_load(OURS), sort_keys=False),
    "sorted by a program": yaml.safe_dump(yaml.safe_load(OURS)),
}
ENDS = {"as it is": str, "CRLF": lambda t: t.replace("\n", "\r\n"), "no newline": lambda t: t.rstrip("\n"),
        "both": lambda t: t.rstrip("\n").replace("\n", "\r\n")}  # fmt: skip
NAMES = (
    "flowers",
    "2024",
    "1e3",
    "null",
    "2024_01",
    "0x1F",
    "true",
    "1_000",
    "0o7",
    "012",
    "2024-01-01",
    "y",
)
PATHS = ("data/flowers.csv", "/data/a b, #1: {x}.csv", 'data/it\'s "here".csv', "2024", "data/ä\u202fé.csv", "[a]")


def add(name: str, path: str, models: list[str]) -> str:
    edit = adding(name, path, models)
    edit.write()
    return edit.diff()


def remove(name: str) -> None:
    removing(name).write()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """params.yaml of a project that has a conf for all names."""
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").touch()
    (tmp_path / "conf").mkdir()
    for group in ("model", "budget"):
        (tmp_path / "conf" / group).symlink_to(HERE / "conf" / group)
    (tmp_path / "conf" / "data").mkdir()
    for name in (*NAMES, *(path.stem for path in (HERE / "conf" / "data").glob("*.yaml"))):
        (tmp_path / "conf" / "data" / f"{name}.yaml").touch()
    return tmp_path / "params.yaml"


def written(file, text: str) -> bytes:
    file.write_bytes(text.encode())
    return text.encode()


def read_alike(text: str) -> dict:
    """What PyYAML reads, after a check that DVC's parser reads the same."""
    found = yaml.safe_load(text)
    assert YAML(typ="safe").load(text) == found
    return found


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_added_data_set_is_swept_and_all_else_stays_as_it_was_written(file, layout, end):
    before = written(file, ENDS[end](LAYOUTS[layout])).decode()
    was = yaml.safe_load(before)
    diff = add("2024_01", "data/flowers.csv", ["gmm", "realnvp"])
    after = file.read_bytes().decode()
    held = read_alike(after)
    lines = {f"{model}-2024_01": {"model": model, "data": "2024_01"} for model in ("gmm", "realnvp")}
    assert held["files"] == {**(was.get("files") or {}), "2024_01": "data/flowers.csv"}
    assert held["sweeps"] == {**(was["sweeps"] or {}), **lines}
    assert held["runs"] == {**was["runs"], **lines}
    assert {**held, "files": 0, "sweeps": 0, "runs": 0} == {**was, "files": 0, "sweeps": 0, "runs": 0}
    assert params().run("gmm-2024_01").data == "2024_01"
    rest = iter(after)
    assert all(letter in rest for letter in before if letter not in "{} "), "braces are opened, and nothing is lost"
    assert ("\r\n" in before) == ("\r\n" in after) and bool(re.search(r"(?<!\r)\n", after)) != ("\r\n" in before)
    assert before.endswith("\n") == after.endswith("\n")
    assert "2024_01" in diff and all(line[0] in "+-@ " for line in diff.splitlines())
    assert add("2024_01", "data/flowers.csv", ["gmm", "realnvp"]) == ""
    assert file.read_bytes().decode() == after


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_removing_what_was_added_gives_what_was_held_before(file, layout, end):
    before = written(file, ENDS[end](LAYOUTS[layout])).decode()
    was = yaml.safe_load(before)
    add("flowers", "data/flowers.csv", ["gmm"])
    remove("flowers")
    after = file.read_bytes().decode()
    held = {"files": {}, **read_alike(after)}
    assert held == {**was, "files": was.get("files") or {}, "sweeps": was["sweeps"] or {}}
    assert after.count("#") == before.count("#")
    if layout in ("files in lines", "lines below one another", "ours"):
        assert after == before or layout == "lines below one another"


@pytest.mark.parametrize(
    ("name", "path"), [*((name, PATHS[1]) for name in NAMES), *((NAMES[1], path) for path in PATHS)]
)
def test_names_and_paths_that_yaml_reads_otherwise_are_text(file, name, path):
    for layout in ("ours", "files in braces"):
        written(file, LAYOUTS[layout])
        add(name, path, ["gmm"])
        held = read_alike(file.read_text())
        assert held["files"][name] == path and held["runs"][f"gmm-{name}"] == {"model": "gmm", "data": name}
        assert params().files[name] == path


def test_a_moved_file_replaces_its_path_and_removed_lines_stay_away(file):
    written(file, OURS)
    add("flowers", "data/flowers.csv", ["gmm", "vae"])
    file.write_text(file.read_text().replace("  vae-flowers: {model: vae, data: flowers}\n", ""))
    before = file.read_text()
    add("flowers", "/elsewhere/a: b.csv", ["gmm", "vae"])
    assert file.read_text() == before.replace("flowers: data/flowers.csv", "flowers: '/elsewhere/a: b.csv'")


REFUSED = {
    "a: [b\n": "line 2: not YAML",
    "a: no\n" + OURS: "line 1: a: no: PyYAML reads False",
    OURS.replace("- digits\n", "- digits\n- flowers\n", 1): "data: lists 'flowers' already",
    OURS.replace("vae-digits: {", "gmm-flowers: {", 1): "sweeps.gmm-flowers is there for other data",
    OURS.replace("  vae-digits: {model: vae, data: digits}", "  vae-digits: 3", 1): "sweeps: run `gen-models check`",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_file_that_cannot_be_edited_is_one_line_and_stays_as_it_is(file, text):
    before = written(file, text)
    with pytest.raises(ConfigError) as refused:
        add("flowers", "data/flowers.csv", ["gmm"])
    assert REFUSED[text] in str(refused.value) and "\n" not in str(refused.value)
    assert file.read_bytes() == before and sorted(path.name for path in file.parent.iterdir()) == [
        "conf",
        "params.yaml",
    ]


def test_a_read_only_file_and_one_that_was_edited_meanwhile_are_not_written(file):
    before = written(file, OURS)
    edit = adding("flowers", "data/flowers.csv", ["gmm"])
    file.chmod(0o444)
    with pytest.raises(ConfigError, match=r"params.yaml: may not be written; run `chmod u\+w "):
        edit.write()
    file.chmod(0o640)
    written(file, OURS + "# mine\n")
    with pytest.raises(ConfigError, match="edited meanwhile"):
        edit.write()
    written(file, OURS)
    edit.write()
    assert file.read_bytes() != before and file.stat().st_mode & 0o777 == 0o640


def test_a_setting_in_use_elsewhere_is_not_removed(file):
    reuse = "reuses: &reuses\n  gmm-digits: {model: gmm, data: digits, setting: gmm-flowers}\n"
    written(file, LAYOUTS["nothing swept"].replace("data: []", "data: [digits]").replace("reuses: &reuses {}\n", reuse)
            .replace("files: {}", "files: {flowers: f.csv}")
            .replace("sweeps: &sweeps {}", "sweeps: &sweeps {gmm-flowers: {model: gmm, data: flowers}}"))  # fmt: skip
    with pytest.raises(ConfigError, match=r"flowers is used by reuses\.gmm-digits; remove these lines first"):
        remove("flowers")


@pytest.mark.parametrize(
    ("name", "instead"),
    [("iris.v2", "iris_v2"), ("my data", "my_data"), ("_x", "x"), ("-x", "x"), ("ä", "flowers"), ("a/b", "a_b"),
     ("a\nb", "a_b"), ("", "flowers"), ("no", "no_data"), ("On", "On_data"), ("a" * 81, "a" * 80)],
)  # fmt: skip
def test_a_name_that_cannot_work_is_refused_with_one_that_can(name, instead):
    with pytest.raises(ConfigError, match=f"take (one such as )?{instead}$") as refused:
        data_name(name)
    assert "\n" not in str(refused.value)
    assert data_name(instead) == instead


@pytest.mark.parametrize(
    ("page", "name"), [("chapter/params.yaml", "2024"), *(("params.yaml", name) for name in (None, *NAMES))]
)
def test_an_experiment_of_dvc_changes_the_line_of_its_setting_only(file, page, name):
    """DVC's own writer lays a list in brackets, and quotes it does not need, out otherwise."""
    written(file, (HERE / page).read_text())
    if name:
        add(name, "data/flowers of 2024.csv", ["gmm", "realnvp"])
    before = file.read_text()
    apply_overrides(str(file), ["seed=1"])
    assert file.read_text() == before.replace("seed: 0", "seed: 1")


def test_dvc_sets_a_value_of_a_line_by_its_place_under_runs_only(tmp_path):
    """As docs/experiments.md says of `dvc exp run -S`."""
    path = tmp_path / "params.yaml"
    line = "vae-digits: {model: vae, data: digits"
    path.write_text((HERE / "params.yaml").read_text().replace(f"{line}}}", f"{line}, seeds: 2}}", 1))
    apply_overrides(path, ["sweeps.vae-digits.seeds=3"])
    assert yaml.safe_load(path.read_text())["sweeps"]["vae-digits"]["seeds"] == 2, "DVC drops it"
    apply_overrides(path, ["runs.vae-digits.seeds=3"])
    held = yaml.safe_load(path.read_text())
    assert held["runs"]["vae-digits"]["seeds"] == held["sweeps"]["vae-digits"]["seeds"] == 3
