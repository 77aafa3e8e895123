"""inspect and add-data: what they print is what is there, and the conf that they write prepares."""

import re
import shlex
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from gen_models.anomalies.conformal import require_rows
from gen_models.build import build
from gen_models.errors import ConfigError, DataError
from pipelines.config.compose import compose
from pipelines.config.conf_files import data_conf
from pipelines.config.data_files import check_files
from pipelines.config.params import params
from pipelines.data import add_data, inspect, prepare
from pipelines.data.inspect import Found, propose
from pipelines.data.prepare import Plan
from pipelines.data.proposal import advice, check, models_for
from pipelines.data.sources.arrays import Arrays
from pipelines.data.store import open_data
from pipelines.runtime import paths
from tests.project import HERE, call, params_of, write_params

RNG = np.random.default_rng(0)
ROWS = 40


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of this one's confs, its path with a space and a letter beyond ASCII."""
    root = tmp_path / "a prøject"
    for group in ("model", "budget"):
        (root / "conf" / group).mkdir(parents=True)
        for path in (HERE / "conf" / group).glob("*.yaml"):
            (root / "conf" / group / path.name).write_text(path.read_text())
    (root / "conf" / "data").mkdir()
    for path in (HERE / "gen_models").glob("*/__init__.py"):
        (root / "gen_models" / path.parent.name).mkdir(parents=True)
        (root / "gen_models" / path.parent.name / "__init__.py").touch()
    (root / "conf" / "config.yaml").write_text((HERE / "conf" / "config.yaml").read_text())
    write_params(root, params_of({}, budget="quick"))
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    return root


def save_images(folder, names, *, size=(6, 5), mode="L"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (*size, 3) if mode == "RGB" else size).astype(np.uint8)
        Image.fromarray(pixels).save(path)


def table():
    x = RNG.normal(size=(ROWS, 2))
    return {"a": x[:, 0], "b": 1000 * x[:, 1], "species": ["one", "two"] * (ROWS // 2)}


def changed(array, at, value):
    array[at] = value
    return array


def write_csv(path, columns, separator=","):
    lines = [separator.join(columns), *(separator.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")


def write_idx(path, array):
    path.write_bytes(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())


def make(kind, folder):
    """A file or folder of ROWS rows, and (source, event_shape, levels, classes) that must be found in it."""
    folder.mkdir(exist_ok=True)
    pixels = RNG.integers(0, 256, (ROWS, 6, 5)).astype(np.uint8)
    pixels[0, 0, 0] = 255
    labels = (np.arange(ROWS) % 2).astype(np.uint8)
    if kind == "flat images":
        save_images(folder / "flat", [f"{k}.png" for k in range(ROWS)])
        return folder / "flat", ("image_folder", [1, 6, 5], 256, [])
    if kind == "images of classes":
        save_images(folder / "classes", [f"{'cat' if k % 2 else 'dog'}/{k}.png" for k in range(ROWS)], mode="RGB")
        return folder / "classes", ("image_folder", [3, 6, 5], 256, ["cat", "dog"])
    if kind == "divided images":
        names = [f"{'train' if k < 30 else 'test'}/{'cat' if k % 2 else 'dog'}/{k}.png" for k in range(ROWS)]
        save_images(folder / "divided", names)
        return folder / "divided", ("image_folder", [1, 6, 5], 256, ["cat", "dog"])
    if kind == "normal and abnormal images":
        names = [f"{'normal' if k % 20 else 'abnormal'}/{k}.png" for k in range(ROWS)]  # a few, as they are
        save_images(folder / "screws", names)
        return folder / "screws", ("image_folder", [1, 6, 5], 256, ["abnormal", "normal"])
    if kind == "csv":
        write_csv(folder / "t.csv", table())
        return folder / "t.csv", ("table", [2], [None, None], ["one", "two"])
    if kind == "tsv":
        write_csv(folder / "t.tsv", table(), "\t")
        return folder / "t.tsv", ("table", [2], [None, None], ["one", "two"])
    if kind == "parquet":
        pq.write_table(pa.table(table()), folder / "t.parquet")
        return folder / "t.parquet", ("table", [2], [None, None], ["one", "two"])
    if kind == "npy":
        np.save(folder / "x.npy", RNG.normal(size=(ROWS, 3)))
        return folder / "x.npy", ("table", [3], [None] * 3, [])
    if kind == "npz of rows":
        np.savez(folder / "r.npz", X=RNG.normal(size=(ROWS, 2)), y=labels)
        return folder / "r.npz", ("table", [2], [None, None], ["0", "1"])
    if kind == "npy of colour images":
        np.save(folder / "c.npy", np.repeat(pixels[..., None], 3, axis=3))
        return folder / "c.npy", ("npy", [3, 6, 5], 256, [])
    if kind == "npz":
        np.savez_compressed(folder / "z.npz", x=pixels, y=labels)
        return folder / "z.npz", ("npz", [1, 6, 5], 256, ["0", "1"])
    write_idx(folder / "train-images-idx3-ubyte", pixels)
    write_idx(folder / "train-labels-idx1-ubyte", labels)
    return folder / "train-images-idx3-ubyte", ("idx", [1, 6, 5], 256, ["0", "1"])


KINDS = (
    "flat images",
    "images of classes",
    "divided images",
    "normal and abnormal images",
    "csv",
    "tsv",
    "parquet",
    "npy",
    "npz of rows",
    "npy of colour images",
    "npz",
    "idx",
)


@pytest.mark.parametrize(
    "classes, held_out",
    [
        (("bent", "good", "scratch"), {"normal": "good"}),
        (("OK", "bent", "scratch"), {"normal": "OK"}),
        (("bad", "good"), {"anomaly": "bad"}),
        (("bent", "good"), {"anomaly": None}),
        (("bent", "good", "masks"), {"normal": "good"}),
        (("bent", "good", "normal"), {"anomaly": None}),
        (("a", "b", "c"), {"anomaly": None}),
    ],
)
def test_a_class_named_good_among_several_is_proposed_as_the_normal_one(tmp_path, classes, held_out):
    masks = np.zeros((300, 1, 1), dtype=np.uint8) if "masks" in classes else None
    classes = tuple(one for one in classes if one != "masks")
    y = np.arange(300) % len(classes)
    arrays = Arrays(np.zeros((300, 2)), y, classes, origin={"sha256": "0"}, masks=masks)
    conf = propose(Found(tmp_path, "npy", {}, arrays), "parts")
    assert {key: conf[key] for key in ("anomaly", "normal") if key in conf} == held_out
    said = "\n".join(advice(Found(tmp_path, "npy", {}, arrays), Plan(arrays, y, {}, y.dtype, {}, []), conf))
    one = [name for name in classes if name.lower() in ("good", "ok", "normal")]
    assert ("--normal" in said) == (held_out == {"anomaly": None} and len(one) == 1)
    assert ("as anomalies" in said) == (held_out != {"anomaly": None})


@pytest.mark.parametrize("tested, is_anew", [(("bent",), True), (("bent", "good"), False)])
def test_where_a_source_tests_anomalies_only_its_rows_are_divided_anew(tmp_path, tested, is_anew):
    classes, y = ("bent", "good"), np.repeat([0, 1], 150)
    of_test = [np.arange(150)[:20] + 150 * classes.index(one) for one in tested]
    rest = np.setdiff1d(np.flatnonzero(y == 1), np.concatenate(of_test))
    masks = np.zeros((300, 1, 1), dtype=np.uint8)
    parts = {"train": rest, "test": np.concatenate(of_test)}
    arrays = Arrays(np.zeros((300, 2)), y, classes, origin={"sha256": "0"}, masks=masks, parts=parts)
    conf = propose(Found(tmp_path, "npy", {}, arrays), "parts")
    assert conf["normal"] == "good" and (conf["split"]["test"] != "own") == is_anew


@pytest.mark.parametrize("rows, share", [(200, 0.2), (1000, 0.2), (2000, 0.1), (4000, 0.05), (100_000, 0.05)])
def test_few_rows_give_a_larger_share_to_calibration_so_that_decisions_at_one_percent_are_possible(
    tmp_path, rows, share
):
    arrays = Arrays(np.zeros((rows, 2)), None, (), origin={"sha256": "0"})
    split = propose(Found(tmp_path, "npy", {}, arrays), "parts")["split"]
    assert split["calibration"] == share
    assert sum(split.values()) == pytest.approx(1)


@pytest.mark.parametrize("sizes", [[4997, 3], [8] * 10, [5] * 200, [38] * 100])
def test_rare_and_small_classes_do_not_cost_the_calibration_rows(tmp_path, sizes):
    y = np.repeat(np.arange(len(sizes)), sizes)
    classes = tuple(f"c{k}" for k in range(len(sizes)))
    arrays = Arrays(np.random.default_rng(0).normal(size=(len(y), 2)), y, classes, origin={"sha256": "0"})
    found = Found(tmp_path, "npy", {"path": "rows.npy"}, arrays)
    conf = propose(found, "parts")
    assert conf["anomaly"] is None and conf["split"]["calibration"] >= 0.05
    check(found, conf, seed=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_prepares_and_holds_the_rows(project, tmp_path, capsys, kind):
    path, (source, event_shape, levels, classes) = make(kind, tmp_path / "own")
    add_data.main(["mine", str(path)])
    printed = capsys.readouterr().out
    conf = data_conf("mine")
    assert (conf["source"], conf["event_shape"], conf["levels"]) == (source, event_shape, levels)
    prepare.main(["mine"])
    data = open_data("mine")
    assert sum(len(data.x(split)) for split in data.splits) == ROWS
    assert data.manifest["classes"] == classes
    assert "path" not in data.manifest["origin"]
    assert data.manifest["origin"]["sha256"] in printed
    if kind == "divided images":
        assert len(data.x("test")) == 10
    if kind == "normal and abnormal images":
        assert data.manifest["anomaly"] == [0]
        assert data.splits == ("train", "validation", "calibration", "test")
        assert not (data.y("train") == 0).any()
    # params.yaml has the path, which DVC watches, and runs that suit the rows
    assert (project / params().files["mine"]).resolve() == (path.parent if kind == "idx" else path).resolve()
    assert any(line.startswith("+") and params().files["mine"] in line for line in printed.splitlines())
    check_files(params())
    assert params().runs
    for line in params().runs.values():
        compose(line.model, line.data, "quick")


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_writes_nothing_and_prints_the_conf_that_add_data_writes(project, tmp_path, capsys, kind):
    path, _ = make(kind, tmp_path / "own")
    inspect.main([str(path)])
    printed = capsys.readouterr().out
    assert not list((project / "conf" / "data").iterdir())
    name = printed.partition("conf/data/")[2].partition(".yaml")[0]
    add_data.main([name, str(path)])
    text = (project / "conf" / "data" / f"{name}.yaml").read_text()
    assert "\n".join(f"  {line}" for line in text.splitlines()) in printed


def test_counts_are_those_of_the_data(project, tmp_path, capsys):
    x = np.arange(30.0).reshape(10, 3)
    x[:, 1] = 7
    x[4] = x[2]
    x[5, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    inspect.main([str(tmp_path / "x.npy")])
    printed = capsys.readouterr().out
    for line in (
        "10, each becomes 3 numbers",
        "0 .. 29",
        "1 cell (x[2])",
        "0 of the 3 numbers",
        "1 row is equal",
        "labels      none",
    ):
        assert line in printed
    for note in ("x[1]: left out, constant", "x[2]: 1 of 10 missing (the first in row 5), replaced by the median"):
        assert f"note        {note}" in printed


def test_text_and_constant_columns_are_left_out_and_missing_numbers_are_kept_and_all_is_said(project, tmp_path, capsys):
    name = [f"Ann {chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(ROWS)]
    columns = {**table(), "name": name, "same": [3] * ROWS, "gap": ["", *(k * k for k in range(ROWS - 1))]}
    columns["income"] = [100 * (20 + k % 17) for k in range(ROWS)]
    write_csv(tmp_path / "t.csv", columns)
    add_data.main(["mine", str(tmp_path / "t.csv")])
    printed = capsys.readouterr().out
    for note in (
        "name: left out, a different text in each row",
        "same: left out, constant",
        f"gap: 1 of {ROWS} missing",
    ):
        assert f"note        {note}" in printed
    entries = data_conf("mine")["columns"]
    assert [key for key in entries if entries[key].get("role") == "ignore"] == ["name", "same"]
    assert entries["gap"] == {"kind": "count", "missing": "fill"}
    assert entries["income"] == {"kind": "number", "step": 100}, "else samples are no hundreds, and a histogram wins"
    prepare.main(["mine"])
    data = open_data("mine")
    assert data.columns == ("a", "b", "gap", "gap is missing", "income")
    rows = np.concatenate([data.x(split) for split in data.splits])
    median = np.median(data.x("train")[data.x("train")[:, 3] == 0, 2])
    assert rows[rows[:, 3] == 1, 2].tolist() == [round(median)]


def test_a_label_may_be_named(project, tmp_path):
    columns = {**table(), "wing": [k % 3 for k in range(ROWS)]}
    write_csv(tmp_path / "t.csv", columns)
    add_data.main(["mine", str(tmp_path / "t.csv"), "--label", "wing"])
    prepare.main(["mine"])
    assert open_data("mine").manifest["classes"] == ["0", "1", "2"]


def test_an_edited_file_is_read_anew_and_refused_where_its_hash_is_pinned(project, tmp_path):
    path, _ = make("csv", tmp_path / "own")
    add_data.main(["mine", str(path)])
    prepare.main(["mine"])
    before = open_data("mine")
    conf = project / "conf" / "data" / "mine.yaml"
    pinned = conf.read_text().replace("options: {", f"options: {{sha256: {before.manifest['origin']['sha256']}, ")
    path.write_text(path.read_text() + "0.5,0.5,one\n")
    unpinned = conf.read_text()
    conf.write_text(pinned)
    with pytest.raises(DataError, match=r"t\.csv: sha256 is [0-9a-f]{64}, options\.sha256 .*: the data have changed"):
        prepare.main(["mine"])
    assert open_data("mine").sha256 == before.sha256
    conf.write_text(unpinned)
    prepare.main(["mine"])
    after = open_data("mine")
    assert after.sha256 != before.sha256
    assert sum(len(after.x(split)) for split in after.splits) == ROWS + 1


@pytest.mark.parametrize("options", [[], ["--label", "none", "--kind", "b=time"]])
def test_the_command_that_inspect_prints_adds_what_it_showed(project, tmp_path, capsys, options):
    write_csv(tmp_path / "my table.csv", {**table(), "b": range(100, 100 + 3 * ROWS, 3)})
    inspect.main([str(tmp_path / "my table.csv"), *options])
    printed = capsys.readouterr().out
    command, _, rest = printed.partition("To add it: ")[2].partition("\n")
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("gen-models", "add-data")
    add_data.main(words)
    text = (project / "conf" / "data" / f"{words[0]}.yaml").read_text()
    assert "\n".join(f"  {line}" for line in text.splitlines()) in rest
    assert ("kind: time" in text) == bool(options)


@pytest.mark.parametrize("form, is_read", [("2024-01-{:02}", True), ("{:02}/01/2024", False)])
def test_the_note_on_times_is_a_word_that_works(project, tmp_path, capsys, form, is_read):
    write_csv(tmp_path / "t.csv", {**table(), "my day": [form.format(k % 28 + 1) for k in range(ROWS)]})
    inspect.main([str(tmp_path / "t.csv")])
    note = re.search(r"note        my day: left out, times; (.*)", capsys.readouterr().out)[1]
    assert note.startswith("--kind") == is_read
    if is_read:
        words = shlex.split(note.partition(" takes")[0])
        add_data.main(["mine", str(tmp_path / "t.csv"), *words])
        assert data_conf("mine")["columns"]["my day"] == {"kind": "time", "as": "days"}


def test_a_conf_that_is_there_is_not_replaced(project, tmp_path):
    path, _ = make("npy", tmp_path / "own")
    add_data.main(["mine", str(path)])
    conf = project / "conf" / "data" / "mine.yaml"
    conf.write_text(conf.read_text() + "# mine\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: is there already; choose another name, or .* --force"):
        add_data.main(["mine", str(path)])
    assert conf.read_text().endswith("# mine\n")


def test_what_prepare_would_refuse_is_not_added(project, tmp_path):
    before = (project / "params.yaml").read_bytes()
    for values, line in (
        (np.full((ROWS, 2), np.nan), r"x\.npy: no column of features is left: x\[0\] \(missing in all rows\)"),
        (changed(RNG.normal(size=(ROWS, 2)), (7, 1), np.inf), r"x\.npy, row 7, column 'x\[1\]': inf is not a finite"),
        (RNG.normal(size=(2, 2)), "split.* leaves none"),
    ):
        np.save(tmp_path / "x.npy", values)
        with pytest.raises(DataError, match=line):
            add_data.main(["mine", str(tmp_path / "x.npy")])
        assert not list((project / "conf" / "data").iterdir())
        assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("name", ["../mine", "a/b", "", "a\nb", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(project, tmp_path, name):
    path, _ = make("npy", tmp_path / "own")
    with pytest.raises(ConfigError, match="may hold letters, digits"):
        add_data.main([name, str(path)])


def test_paths_inside_the_project_are_written_relative_to_it(project, tmp_path, monkeypatch):
    make("npy", project / "data")
    monkeypatch.chdir(project / "data")
    add_data.main(["mine", "x.npy"])
    assert data_conf("mine")["options"]["path"] == "data/x.npy"
    monkeypatch.chdir(tmp_path)
    prepare.main(["mine"])


def test_a_path_leads_to_the_same_file_from_a_project_that_shares_the_conf(project, tmp_path, monkeypatch):
    make("npy", project / "data")
    second = project / "chapter"
    second.mkdir()
    (second / "conf").symlink_to("../conf")
    (second / "params.yaml").write_text((project / "params.yaml").read_text())
    monkeypatch.setenv("GEN_MODELS_ROOT", str(second))
    monkeypatch.chdir(project / "data")
    add_data.main(["mine", "x.npy"])
    assert data_conf("mine")["options"]["path"] == "data/x.npy"
    for folder in (project, second):
        monkeypatch.setenv("GEN_MODELS_ROOT", str(folder))
        prepare.main(["mine"])
    manifests = [(folder / "out" / "data" / "mine" / "manifest.json").read_text() for folder in (project, second)]
    assert manifests[0] == manifests[1]


def test_a_name_of_letters_beyond_ascii_gives_a_name_that_conf_takes(project, tmp_path, capsys):
    write_csv(tmp_path / "blümchen 2.csv", table())
    inspect.main([str(tmp_path / "blümchen 2.csv")])
    assert "conf/data/bl_mchen_2.yaml" in capsys.readouterr().out


def test_a_file_of_no_known_kind_says_which_there_are(project, tmp_path):
    (tmp_path / "x.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"x\.xlsx: not a kind that .* ending: save the sheet as CSV; give a folder"):
        inspect.main([str(tmp_path / "x.xlsx")])
    (tmp_path / "x.docx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"x\.docx: not a kind that is known by its ending; give a folder of images"):
        inspect.main([str(tmp_path / "x.docx")])


def test_the_command_line_says_what_is_wrong_in_one_line(project, tmp_path):
    done = call(HERE, "gen-models", "inspect", str(tmp_path / "nothing.npy"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert yaml.safe_load("a: 1") == {"a": 1}
    assert paths.root() == project


def test_the_least_rate_of_the_calibration_rows_and_a_large_image_are_told_before_the_training(
    project, tmp_path, capsys
):
    inspect.main([str(save_rows(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(600, 3))))])
    said = capsys.readouterr().out
    rows = int(
        re.search(r"^(\d+) calibration rows: rows can be flagged at a false-positive rate of", said, re.MULTILINE)[1]
    )
    assert require_rows(rows, float(re.search(r"rate of ([\d.]+) or more", said)[1])) is None
    inspect.main([str(save_rows(tmp_path / "large.npy", np.zeros((600, 1, 96, 48), dtype=np.uint8)))])
    assert "images of 96x48 pixels make training slow; our results are of 32x32 at most" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shape", "model"), [((1, 64, 48), "conv_vae"), ((1, 64, 3), "vae"), ((40, 28), "vae"), ((3, 41, 41), "conv_vae")]
)
def test_large_images_get_a_model_that_can_be_built_for_them(shape, model):
    assert models_for(Arrays(np.zeros((2, *shape), dtype=np.uint8), None, ())) == [model]
    conf = yaml.safe_load((HERE / "conf" / "model" / f"{model}.yaml").read_text())["model"]
    conf |= {"event_shape": [1, *shape] if len(shape) == 2 else list(shape), "levels": 256}
    assert build(conf)


def save_rows(path: Path, rows: np.ndarray) -> Path:
    np.save(path, rows)
    return path
