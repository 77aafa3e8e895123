"""The rows of benchmarks/settings say what can be trained, and hash what is there."""

import json

import pytest

from benchmarks import flows, rows, training
from pipelines import config, paths
from pipelines.play import build_training

ROWS = flows.table()
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
