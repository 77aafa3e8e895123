"""The benchmark of tables: its protocol, its sums, and that a benchmark which was killed continues."""

import json

import numpy as np
import pytest

from gen_models.errors import DataError, GenModelsError
from pipelines.adbench.detectors import BASELINES
from pipelines.adbench.play import cases_of, measure, play
from pipelines.adbench.protocol import TableFile, split, tables_in
from pipelines.adbench.summary import interval, summary
from pipelines.commands import benchmark
from tests.project import make_project, params_of

RNG = np.random.default_rng(0)


@pytest.fixture
def tables(tmp_path):
    """Two small tables: normal rows around 0, anomalies far away; the last normal rows repeat the first."""
    for number, name in ((1, "near"), (2, "far")):
        x = np.concatenate([RNG.normal(size=(60, 3)), RNG.normal(4, 1, (9, 3))])
        x[30:40] = x[:10]
        np.savez(tmp_path / f"{number}_{name}.npz", X=x, y=np.arange(69) >= 60)
    return tables_in(tmp_path)


def test_half_of_the_normal_rows_train_and_all_others_are_tested_once(tables):
    found = split(tables[0], seed=1)
    assert (len(found.train), len(found.test), found.is_anomaly.sum()) == (30, 39, 9)
    np.testing.assert_allclose(found.train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.train.std(axis=0), 1)
    known = {tuple(row) for row in found.train.round(9)}
    assert [tuple(row) in known for row in found.test.round(9)] == found.is_copy.tolist()
    assert found.is_copy.any() and not found.is_copy[found.is_anomaly].any()
    again, other = split(tables[0], seed=1), split(tables[0], seed=2)
    np.testing.assert_array_equal(found.test, again.test)
    assert not np.array_equal(found.train, other.train)
    few = split(tables[0], seed=1, most_rows=7)
    assert (len(few.train), len(few.test), few.is_anomaly.sum()) == (7, 14, 7)


@pytest.mark.parametrize("name", BASELINES)
def test_each_baseline_ranks_far_rows_above_near_ones(tables, name):
    rows = split(tables[1], seed=0)
    scores = BASELINES[name](rows.train, 0)(rows.test)
    assert np.median(scores[rows.is_anomaly]) > np.quantile(scores[~rows.is_anomaly], 0.8)


def result(table: int, detector: str, area: float, seed: int = 0) -> dict:
    return {
        "table": f"{table}_t", "number": table, "seed": seed, "detector": detector, "auroc": area, "seconds": 1.0,
        "average_precision": area / 2, "auroc_without_copies": area,
    }  # fmt: skip


def test_the_gain_is_over_the_better_neighbour_and_parts_are_by_the_tables_numbers():
    rows = [
        result(table, detector, area + 0.01 * seed, seed)
        for table in (1, 2, 3)
        for detector, area in (("default", 0.9), ("knn1", round(0.7 + table / 10, 6)), ("knn5", 0.6))
        for seed in (0, 1)
    ]
    found = summary(rows)
    assert [found[part]["tables"] for part in ("odd", "even", "all")] == [2, 1, 3]
    gain = found["all"]["above_neighbours"]["default"]["auroc"]
    assert gain["over"] == "knn1" and gain["gain"] == pytest.approx(0.0)
    assert gain["low"] == pytest.approx(-0.1) and gain["high"] == pytest.approx(0.1)
    assert found["all"]["detectors"]["default"]["spread_over_seeds"] == pytest.approx(0.01)
    ranks = {name: row["rank"] for name, row in found["all"]["detectors"].items()}
    assert ranks == pytest.approx({"default": (1 + 1.5 + 2) / 3, "knn1": (2 + 1.5 + 1) / 3, "knn5": 3.0})


def test_the_interval_holds_the_mean_as_often_as_it_says():
    held = []
    for _ in range(200):
        low, high = interval(RNG.normal(0.5, 1, 25))
        held.append(low <= 0.5 <= high)
    assert 0.88 <= np.mean(held) <= 0.99


def test_a_case_that_has_a_result_is_not_measured_again(tables, tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(make_project(tmp_path / "project", params_of({}, data=[]))))
    cases = cases_of(tables, [0], ["knn1", "pca"])
    for case in cases:
        case.place.parent.mkdir(parents=True, exist_ok=True)
        measure(**case.configuration["benchmark"])
        kept = case.result()
        case.place.write_text(json.dumps({**kept, "auroc": 0.125}))
    monkeypatch.setattr("pipelines.adbench.play.cluster", None)  # no cluster is started
    assert {row["auroc"] for row in play(cases)} == {0.125}
    assert {case.place for case in cases_of(tables, [0, 1], ["knn1", "pca"])} > {case.place for case in cases}
    (tmp_path / "1_near.npz").write_bytes((tmp_path / "2_far.npz").read_bytes())
    assert not {case.place for case in cases_of(tables[:1], [0], ["pca"])} & {case.place for case in cases}


@pytest.mark.slow
def test_the_command_writes_means_ranks_and_a_line_for_each_table(tables, tmp_path, monkeypatch, capsys):
    root = make_project(tmp_path / "project", params_of({}, data=[]))
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    benchmark.main(["adbench", str(tmp_path), "--seeds", "2", "--detectors", "default,knn1,knn5"])
    found = json.loads((root / "adbench" / "results.json").read_text())
    assert found["all"]["detectors"]["default"]["auroc"] > 0.9
    lines = (root / "adbench" / "tables.csv").read_text().splitlines()
    assert lines[0] == "table,training rows,columns,anomalies,copies,default,knn1,knn5" and len(lines) == 3
    assert (root / "adbench" / "ranks.png").is_file()


def test_what_is_no_table_is_told_in_a_line(tmp_path):
    with pytest.raises(DataError, match=r"no tables of ADBench, such as 4_breastw\.npz"):
        tables_in(tmp_path)
    with pytest.raises(DataError, match="unknown detector 'forrest': did you mean 'forest'"):
        benchmark.main(["adbench", str(tmp_path), "--detectors", "forrest"])
    (tmp_path / "3_torn.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"3_torn\.npz: not a table with X and y"):
        split(TableFile(tmp_path / "3_torn.npz", 3), 0)
    np.savez(tmp_path / "5_one.npz", X=np.zeros((4, 2)), y=np.zeros(4))
    with pytest.raises(GenModelsError, match="not finite rows with labels 0 and 1"):
        split(TableFile(tmp_path / "5_one.npz", 5), 0)
