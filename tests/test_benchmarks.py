"""The rows of benchmarks/settings say what can be trained, and hash what is there."""

import json

import pytest

from benchmarks import flows, games, latent, plan, rows, training
from pipelines import config, paths
from pipelines.play import build_training

ROWS = flows.table()
PLANNED = [
    (family, name, row)
    for family in (games, latent)
    for name, row in plan.table(family.__name__.rpartition(".")[2]).items()
]
each_row = pytest.mark.parametrize("name", ROWS)


@each_row
def test_a_row_can_be_built_on_each_of_its_data(name):
    row = ROWS[name]
    for data in row.data:
        conf = config.override(config.compose(row.model, data, "quick"), row.settings)
        assert build_training(conf, seed=0).step == 0
    assert row.measure in flows.MEASURES
    assert row.steps >= 1


@each_row
def test_the_inputs_of_a_row_exist(name):
    for path in (*training.INPUTS, *flows.FLOWS, *ROWS[name].inputs):
        assert (paths.root() / path).exists(), path


@pytest.mark.parametrize(("family", "name", "row"), PLANNED, ids=[name for _, name, _ in PLANNED])
def test_a_planned_row_can_be_built_from_inputs_that_exist(family, name, row):
    variants = row.options.get("variants", {"": {"model": row.model}}).values()
    for said in variants if row.settings else ():
        settings = {**row.settings, **said.get("settings", {})}
        conf = config.override(config.compose(said["model"], row.data, "quick"), settings)
        assert build_training(conf, seed=0).step == 0
    assert row.measure in family.MEASURES
    for path in row.inputs:
        assert (paths.root() / path).exists(), path


def test_a_row_adds_to_what_its_file_says(tmp_path, monkeypatch):
    folder = tmp_path / "benchmarks" / "settings" / "family"
    folder.mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("")
    shared = "measure: m\ndata: d\nmodel: x\nsteps: 3\ntarget: 1\nsettings: {a: 1, b: 2}\ninputs: [code.py]\n"
    (folder / "rows.yaml").write_text(shared + "rows: {one: {}, two: {steps: 4, settings: {b: 5}}}\n")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    rows_ = plan.table("family")
    assert (rows_["one"].steps, rows_["one"].settings) == (3, {"a": 1, "b": 2})
    assert (rows_["two"].steps, rows_["two"].settings) == (4, {"a": 1, "b": 5})
    assert rows_["two"].inputs == ["code.py", "benchmarks/settings/family/rows.yaml"]


def test_every_result_file_holds_a_whole_row():
    fields = ("name", "model", "data", "figure", "unit", "better", "target", "met", "baselines", "seeds", "spread")
    fields += ("budget", "seconds", "device", "versions", "commit", "command", "inputs", "inputs_of")
    for path in (paths.root() / "benchmarks" / "results").glob("*.json"):
        row = json.loads(path.read_text())
        assert row["name"] == path.stem
        assert tuple(row) == fields
        sign = 1 if row["better"] == "lower" else -1
        assert row["met"] == (sign * row["figure"] <= sign * row["target"])


def test_a_change_of_a_rows_inputs_makes_it_stale(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("")
    (tmp_path / "code.py").write_text("one")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    facts = {"model": "m", "data": "d", "figure": 1.0, "unit": "u", "target": 2.0, "baselines": {}, "seeds": [0]}
    rows.write("row", **facts, spread=None, budget="b", seconds=1.0, inputs=["code.py"], command="c")
    assert rows.stale() == []
    (tmp_path / "code.py").write_text("two")
    assert rows.stale() == ["row"]
