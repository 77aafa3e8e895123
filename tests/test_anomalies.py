"""Anomalies of several kinds: named in any spelling, in the test split only, each measured, in words if too few."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from gen_models.errors import ConfigError, DataError
from gen_models.measures.ranking import average_precision
from gen_models.noise import Noise
from pipelines.comparison import baselines, compare
from pipelines.config import yaml_file
from pipelines.config.params import params
from pipelines.data import anomalies, prepare
from pipelines.data.checks import is_pooled
from pipelines.data.source_table import SOURCES
from pipelines.data.sources.array_files import npy
from pipelines.data.sources.arrays import Arrays
from pipelines.data.store import Dataset, open_data
from pipelines.evaluation import evaluate
from pipelines.evaluation.anomaly_assessment import assess
from pipelines.evaluation.prepared_rows import PreparedRows
from pipelines.registry.upload import anomaly_numbers, kind_slugs
from pipelines.runtime import paths
from tests.project import HERE, params_of, write_params
from tests.trained import be_quick, train

SHARES = {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}
BOTH_OWN = {"train": 0.7, "validation": "own", "calibration": 0.3, "test": "own"}
OWN = {"train": 0.6, "validation": 0.15, "calibration": 0.25, "test": "own"}
LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=120).map(np.array)
KINDS = st.sets(st.integers(0, 4))


# --- which rows are where


@settings(max_examples=60, deadline=None)
@given(y=LABELS, anomaly=KINDS, shares=st.sampled_from([SHARES, OWN, BOTH_OWN]), data=st.data())
def test_anomalies_are_in_the_test_split_only_whatever_the_list_and_the_parts(y, anomaly, shares, data):
    parts = None
    if shares is not SHARES:
        names = ["train", *(split for split, share in shares.items() if share == "own")]
        part = np.array(data.draw(st.lists(st.sampled_from(names), min_size=len(y), max_size=len(y))))
        parts = {name: np.flatnonzero(part == name) for name in names}
    splits = prepare.split_rows(y, shares, Noise(0), anomaly=anomaly, parts=parts)
    for split in ("train", "validation", "calibration"):
        assert not set(y[splits[split]]) & anomaly
    lost = np.isin(y, list(anomaly)) & ~np.isin(np.arange(len(y)), np.concatenate(list(splits.values())))
    if parts is None:
        assert not lost.any()
    else:
        assert sorted(splits["test"]) == sorted(parts["test"])
        assert np.array_equal(np.flatnonzero(lost), np.flatnonzero(np.isin(y, list(anomaly)) & (part != "test")))


@given(y=LABELS, order=st.permutations(["b", "d", "e"]), again=st.integers(0, 3))
def test_the_order_of_kinds_and_a_repetition_change_nothing_and_normal_names_the_rest(y, order, again):
    y = np.append(y, [0, 2])
    found = anomalies.anomalous("abcde", y, {"anomaly": order + order[:again]}, "conf")
    assert found == [1, 3, 4]
    assert anomalies.anomalous("abcde", y, {"normal": ["c", "a"], "anomaly": None}, "conf") == found


# --- the spellings of a name


def read(tmp_path, monkeypatch, line: str) -> dict:
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    write_params(tmp_path, params_of({}))
    (tmp_path / "toy.yaml").write_text(f"{line}\n")
    return yaml_file.read(tmp_path / "toy.yaml", dotted_keys=True)


@pytest.mark.parametrize(
    "line, classes, found",
    [
        ("anomaly: null", ["a", "b"], []),
        ("anomaly: []", ["a", "b"], []),
        ("normal: null", ["a", "b"], []),
        ("anomaly: b", ["a", "b"], ["b"]),
        ("anomaly: [b]", ["a", "b"], ["b"]),
        ("anomaly: [c, b]", ["a", "b", "c"], ["b", "c"]),
        ("normal: a", ["a", "b", "c"], ["b", "c"]),
        ("normal: [a, c]", ["a", "b", "c"], ["b"]),
        ("anomaly: -1", ["-1", "1"], ["-1"]),
        ("anomaly: 1", ["-1", "1"], ["1"]),
        ("anomaly: 1.0", ["0", "1"], ["1"]),
        ("anomaly: 1.0", ["1", "1.0"], ["1.0"]),
        ("anomaly: 1", ["0.0", "1.0"], ["1.0"]),
        ("anomaly: [1, 2.50]", ["0", "1", "2.5"], ["1", "2.5"]),
        ("normal: 0", ["0", "1", "7"], ["1", "7"]),
        ('anomaly: "1"', ["1", "1.0"], ["1"]),
        ("anomaly: true", ["False", "True"], ["True"]),
        ("anomaly: false", ["false", "0"], ["false"]),
        ('anomaly: "yes"', ["no", "yes"], ["yes"]),
        ('anomaly: "null"', ["null", "a"], ["null"]),
    ],
)
def test_a_value_of_yaml_finds_its_class(tmp_path, monkeypatch, line, classes, found):
    conf = read(tmp_path, monkeypatch, line)
    anomalies.check_keys(conf, "conf")
    labels = anomalies.anomalous(classes, np.arange(len(classes)), conf, "conf")
    assert [classes[label] for label in labels] == found


@pytest.mark.parametrize(
    "line, classes, message",
    [
        ("anomaly: yes", ["no", "yes"], r'toy\.yaml: line 1: anomaly: yes: PyYAML reads True .*"yes" for the text$'),
        ("anomaly: true", ["no", "yes"], r'anomaly: true is a truth value of YAML, .*, anomaly: "yes"$'),
        ("normal: false", ["no", "yes"], r'normal: false is a truth value of YAML, .*, normal: "no"$'),
        ("anomaly: 1.0", ["1", "1.00"], r'anomaly: 1.0 may be one of 2 classes; .* anomaly: "1" or anomaly: "1.00"$'),
        ("anomaly: true", ["0", "1"], "truth value"),
        ("anomaly: 1", ["True", "False"], "unknown class '1'"),
        ("anomaly: [bent, scrach]", ["bent", "scratch"], "unknown class 'scrach': did you mean 'scratch'"),
        ("normal: god", ["bad", "good"], "normal: unknown class 'god': did you mean 'good'"),
        ("anomaly: [a, b]", ["a", "b"], r"\['a', 'b'\] are all classes that have rows; nothing is left to train on"),
        ("normal: [a, b]", ["a", "b"], "is every class, so no row is an anomaly; remove the line"),
        ("normal: []", ["a", "b"], "normal: .* names no class; write normal: a, or another of b"),
        ("anomaly: a", [], r"but the rows have no labels \(--label COLUMN .*\); write anomaly: null"),
        ("{anomaly: a, normal: b}", ["a", "b"], "anomaly and normal: .*; remove one"),
        ("anomaly: [[a], b]", ["a", "b", "c"], "is no class; write anomaly: CLASS or"),
        ("anomaly: {a: b}", ["a", "b"], "is no class"),
        ("anomaly: [a, null]", ["a", "b"], "None is no class"),
    ],
)
def test_a_value_that_finds_none_says_what_to_write(tmp_path, monkeypatch, line, classes, message):
    def find():
        conf = read(tmp_path, monkeypatch, line)
        anomalies.check_keys(conf, "conf")
        anomalies.anomalous(classes, np.arange(len(classes)), conf, "conf")

    with pytest.raises(ConfigError, match=message) as caught:
        find()
    assert "\n" not in str(caught.value)


def test_a_normal_class_without_rows_leaves_nothing():
    with pytest.raises(ConfigError, match="normal: 'c' has no rows; nothing is left to train on"):
        anomalies.anomalous("abc", np.array([0, 1, 1]), {"normal": "c"}, "conf")


# --- the measures


@st.composite
def scored(draw):
    """(scores with ties, labels) of test rows: class 0 is normal, and of 1 to 3 at least two kinds have two rows."""
    y = np.array([0, 1, 1, 2, 2, *draw(st.lists(st.integers(0, 3), max_size=60))])
    scores = draw(st.lists(st.integers(0, 6), min_size=len(y), max_size=len(y)))
    return np.array(scores, dtype=float), y


def rows_of(y: np.ndarray) -> PreparedRows:
    """Prepared rows whose test split has these labels; each row is its own number."""
    labels = {str(k): int((y == k).sum()) for k in np.unique(y)}
    manifest = {"classes": list("abcd"), "anomaly": [1, 2, 3], "splits": {"test": {"labels": labels}}}
    x = np.arange(len(y), dtype=np.float32)[:, None]
    calibration = {"x": -np.ones((9, 1), dtype=np.float32)}
    return PreparedRows(Dataset("toy", manifest, {"test": {"x": x, "y": y}, "calibration": calibration}))


@settings(max_examples=60, deadline=None)
@given(scored())
def test_the_area_of_all_kinds_is_the_mean_of_the_kinds_areas_weighted_by_their_rows(drawn):
    scores, y = drawn
    if (y == 3).sum() == 1:  # a kind of one row has no area of its own
        y = np.where(y == 3, 0, y)
    rows = rows_of(y)
    numbers, _ = assess(rows, "who", "score", scores, np.zeros(19))
    kinds = numbers["kinds"]
    assert [kind["kind"] for kind in kinds] == [name for k, name in enumerate("abcd") if k and (y == k).any()]
    weights = [kind["rows"] for kind in kinds]
    assert sum(weights) == (y > 0).sum()
    assert numbers["auroc"] == pytest.approx(np.average([kind["auroc"] for kind in kinds], weights=weights))
    assert numbers["tpr"] == pytest.approx(np.average([kind["tpr"] for kind in kinds], weights=weights))
    assert all(0 <= kind["low"] <= kind["auroc"] <= kind["high"] <= 1 for kind in kinds)
    assert numbers["average_precision"] == pytest.approx(average_precision_score(y > 0, scores))
    assert numbers["anomaly_share"] == np.mean(y > 0)
    fewer, _ = assess(rows, "who", "score", scores, np.zeros(18))  # which allow no rate of 0.05
    assert fewer["tpr"] is fewer["fpr"] is None and all(kind["tpr"] is None for kind in fewer["kinds"])
    assert fewer["auroc"] == numbers["auroc"]


def test_the_average_precision_of_a_perfect_a_constant_and_a_reversed_score():
    labels = np.array([True, False, False, True])
    assert average_precision(labels, labels) == 1
    assert average_precision(np.zeros(4), labels) == 0.5, "the share of anomalies"
    assert average_precision(~labels, labels) == 0.5
    assert average_precision([4, 3, 2, 1], labels) == pytest.approx((1 + 2 / 4) / 2)
    with pytest.raises(DataError, match="0 anomalies"):
        average_precision([1.0, 2.0], [False, False])


@given(st.lists(st.text(max_size=80), unique=True, max_size=12))
def test_the_names_of_kinds_for_mlflow_are_plain_and_differ(kinds):
    slugs = kind_slugs(kinds)
    assert list(slugs) == kinds
    assert len({slug.lower() for slug in slugs.values()}) == len(kinds)
    assert all(slug.isascii() and slug.replace("-", "_").replace("_", "a").isalnum() for slug in slugs.values() if slug)


# --- data through the stages


def source(folder, rows: dict[str, int], *, seed: int = 0) -> None:
    """A CSV table with these classes, each further from the first than the one before."""
    rng = np.random.default_rng(seed)
    lines = [
        f"{rng.normal() + 2 * k:.4f},{rng.normal() - 2 * k:.4f},{name}\n"
        for k, (name, count) in enumerate(rows.items())
        for _ in range(count)
    ]
    folder.joinpath("parts.csv").write_text("a,b,class\n" + "".join(lines))


def made_project(root, rows: dict[str, int], lines: str):
    """A project folder with one table and one run on it."""
    for name in ("model", "budget"):
        (root / "conf" / name).mkdir(parents=True)
        for path in (HERE / "conf" / name).glob("*.yaml"):
            (root / "conf" / name / path.name).write_text(path.read_text())
    (root / "conf" / "config.yaml").write_text((HERE / "conf" / "config.yaml").read_text())
    (root / "conf" / "data").mkdir()
    (root / "gen_models").mkdir()
    (root / "conf" / "data" / "parts.yaml").write_text(
        f"name: parts\nsource: table\noptions: {{path: {root / 'parts.csv'}}}\n"
        "columns: {a: {kind: number}, b: {kind: number}, class: {role: label}}\n"
        f"split: {json.dumps(SHARES)}\nbatch_size: 32\n{lines}\n"
    )
    source(root, rows)
    write_params(root, params_of({"gmm-parts": ("gmm", "parts")}, budget="quick"))
    return root


def go(root, monkeypatch) -> list[dict]:
    """prepare, train, evaluate, baselines and compare; the rows of compare."""
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    be_quick(monkeypatch)
    prepare.main(["parts"])
    train(params().runs["gmm-parts"], 20)
    evaluate.main(["gmm-parts"])
    baselines.main(["parts"])
    compare.main([])
    return json.loads(paths.out("compare", "anomalies", "scores.json").read_text())


def test_three_kinds_go_through_the_stages_each_with_an_area(tmp_path, monkeypatch, capsys):
    root = made_project(tmp_path, {"good": 200, "near": 20, "far away": 20, "rare": 1}, "normal: good")
    rows = go(root, monkeypatch)
    said = capsys.readouterr().out
    assert "classes 'far away', 'near', 'rare' are in the test split only" in said
    assert "no AUROC of its own for 'rare'" in said
    assert {row["run"] for row in rows} == {"gmm-parts", "pca", "nearest_neighbours", "isolation_forest"}
    for row in rows:
        assert [(kind["kind"], kind["rows"]) for kind in row["kinds"]] == [("far away", 20), ("near", 20)]
        assert row["anomaly_share"] == 41 / 81
    gmm = next(row for row in rows if row["run"] == "gmm-parts")
    assert gmm["kinds"][0]["auroc"] > 0.99 and gmm["kinds"][0]["auroc"] >= gmm["kinds"][1]["auroc"] > 0.8
    numbers = anomaly_numbers([gmm])
    assert set(numbers) == {f"auroc.nll{end}" for end in ("", ".far_away", ".near")} | {"average_precision.nll"}
    assert open_data("parts").manifest["anomaly"] == [0, 2, 3]
    most = pd.read_csv(paths.out("evaluate", "gmm-parts", "anomalous_rows.csv"))
    assert list(most) == ["test_row", "row", "class", "score", "p", "reason", "a", "b"]
    np.testing.assert_allclose(most[["a", "b"]], open_data("parts").x("test")[most["test_row"]], rtol=1e-6)
    of_file = pd.read_csv(root / "parts.csv").iloc[most["row"]]
    np.testing.assert_allclose(most[["a", "b"]], of_file[["a", "b"]], rtol=1e-6)


def test_one_kind_has_no_rows_of_kinds(tmp_path, monkeypatch):
    rows = go(made_project(tmp_path, {"good": 200, "bent": 20}, "anomaly: bent"), monkeypatch)
    assert [row["kinds"] for row in rows] == [[]] * 7  # four scores of a mixture, three baselines


def test_one_anomaly_is_told_in_words_by_every_stage_and_measured_by_none(tmp_path, monkeypatch, capsys):
    assert go(made_project(tmp_path, {"good": 200, "bent": 1}, "anomaly: bent"), monkeypatch) == []
    said = capsys.readouterr().out
    assert "note        only one anomaly is among the test rows: no AUROC can be measured; give" in said
    for who in ("gmm-parts", "baselines of parts", "parts"):
        assert f"{who}: no anomaly scores: only one anomaly is among the test rows" in said
    assert "nan" not in said


# --- labels beside rows


def test_labels_added_to_a_pinned_file_say_which_hash_to_write(tmp_path):
    x, y = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(x, np.zeros((4, 2)))
    np.save(y, [1, -1, 1, 1])
    pinned = npy(Noise(0), path=str(x)).origin["sha256"]
    with pytest.raises(DataError, match=r"options\.sha256 is that of this file alone, without labels: ") as caught:
        npy(Noise(0), path=str(x), labels=str(y), sha256=pinned)
    written = str(caught.value).rpartition("write sha256: ")[2].split()[0]
    arrays = npy(Noise(0), path=str(x), labels=str(y), sha256=written)
    assert anomalies.anomalous(arrays.classes, arrays.y, {"anomaly": -1}, "conf") == [arrays.y[1]]
    x.write_bytes(x.read_bytes()[:-1] + b"1")
    with pytest.raises(DataError, match="the data have changed"):
        npy(Noise(0), path=str(x), labels=str(y), sha256=pinned)


# --- a source that is divided already


def divided(y: np.ndarray, train_rows: int) -> Arrays:
    parts = {"train": np.arange(train_rows), "test": np.arange(train_rows, len(y))}
    return Arrays(np.random.default_rng(0).normal(size=(len(y), 2)), y, ("bad", "good"), parts=parts)


CONF = {"name": "toy", "source": "made", "event_shape": [2], "levels": None, "split": OWN, "anomaly": "bad"}


@pytest.fixture
def belt(monkeypatch):
    """80 training rows of which 16 are bad, and 20 good test rows."""
    y = np.where((np.arange(100) % 5 == 0) & (np.arange(100) < 80), 0, 1)
    monkeypatch.setitem(SOURCES, "made", lambda noise: divided(y, 80))
    return y


def test_anomalies_among_a_source_s_training_rows_are_left_out_and_counted(tmp_path, belt):
    manifest = prepare.prepare(tmp_path, "toy", CONF, seed=0)
    assert manifest["left_out"] == {"bad": 16}
    assert sum(split["rows"] for split in manifest["splits"].values()) == 84
    first, second = prepare.notes(manifest)
    assert first.startswith("16 rows of 'bad' outside the source's test part are left out")
    assert second.startswith("no anomaly is among the test rows: no AUROC can be measured; to divide all rows anew, ")
    assert "is in the test split only" not in prepare.summary(manifest)


def test_the_line_that_the_note_proposes_makes_them_test_rows(tmp_path, belt):
    _, _, line = prepare.notes(prepare.prepare(tmp_path, "toy", CONF, seed=0))[-1].partition("write split: ")
    split = yaml_file.yaml.safe_load(line)
    (tmp_path / "anew").mkdir()
    manifest = prepare.prepare(tmp_path / "anew", "toy", {**CONF, "split": split}, seed=0)
    assert manifest["splits"]["test"]["labels"] == {"0": 16, "1": 17}
    assert "left_out" not in manifest and prepare.notes(manifest) == []
    assert not is_pooled(divided(belt, 80), {**CONF, "split": split, "anomaly": None})


def test_test_rows_without_a_normal_one_are_refused(tmp_path, monkeypatch):
    y = np.where(np.arange(100) < 80, 1, 0)
    monkeypatch.setitem(SOURCES, "made", lambda noise: divided(y, 80))
    with pytest.raises(DataError, match=r"each of its 20 rows is an anomaly, .* write split: {train: 0.5"):
        prepare.prepare(tmp_path, "toy", CONF, seed=0)
