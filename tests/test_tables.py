"""Tables as people bring them: what cells mean, what is proposed, and that a file is read alike ever after."""

import csv
import datetime
import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gen_models.checkpoint import save_model
from gen_models.errors import GenModelsError
from gen_models.noise import Noise
from gen_models.table import Column, Schema, from_json
from pipelines.commands import predict
from pipelines.commands.input_rows import count_rows, read_blocks
from pipelines.commands.output_file import answering
from pipelines.config.columns import roles_of
from pipelines.config.conf_files import data_conf
from pipelines.data import add_data, inspect, prepare, remove_data
from pipelines.data.about_rows import about_rows
from pipelines.data.look import look
from pipelines.data.source_table import SOURCES
from pipelines.data.store import open_data
from pipelines.data.tables import facts
from pipelines.data.tables.cells import numbers
from pipelines.data.tables.open_table import Reading, open_table
from pipelines.data.tables.propose import Wishes, step_of
from pipelines.registry import serving
from pipelines.runtime.progress import Progress
from tests.project import HERE, params_of, write_params

ROWS = 60
rng = np.random.default_rng(0)
NORMAL = [f"{value:.4f}" for value in rng.normal(size=ROWS)]
OTHER = [f"{value:.4f}" for value in rng.normal(size=ROWS)]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project's conf and params.yaml without data."""
    root = tmp_path / "project"
    (root / "conf").mkdir(parents=True)
    for group in ("data", "model", "budget"):
        (root / "conf" / group).mkdir()
        for path in (HERE / "conf" / group).glob("*.yaml"):
            (root / "conf" / group / path.name).write_bytes(path.read_bytes())
    (root / "conf" / "config.yaml").write_bytes((HERE / "conf" / "config.yaml").read_bytes())
    (root / "gen_models").mkdir()
    write_params(root, params_of({}, budget="quick", data=[]))
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    return root


def write(path: Path, columns: dict[str, list], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def columns_of(name: str) -> dict[str, dict]:
    return yaml.safe_load((Path(data_root()) / "conf" / "data" / f"{name}.yaml").read_text())["columns"]


def data_root() -> Path:
    from pipelines.runtime import paths

    return paths.root()


# --- the schema: numbers for values, and back

WORDS = st.text("abcxyzé 7", min_size=1, max_size=5).map(str.strip).filter(bool)


@st.composite
def columns(draw):
    kind = draw(st.sampled_from(["number", "grid", "count", "flag", "category", "seconds", "days"]))
    missing = draw(st.booleans())
    if kind == "flag":
        return Column("c", "flag", values=("no", "yes"))
    if kind == "category":
        values = tuple(draw(st.lists(WORDS, min_size=2, max_size=5, unique=True)))
        return Column("c", "category", values=values, missing="value" if missing else "refuse")
    fill = {"missing": "fill", "fill": 0.0} if missing else {}
    if kind in ("seconds", "days"):
        return Column("c", "time", as_=kind, **fill)
    step = draw(st.sampled_from([0.01, 0.5, 0.001, 250.0])) if kind == "grid" else None
    return Column("c", "count" if kind == "count" else "number", step, **fill)


@pytest.mark.parametrize(("key", "value"), [("kind", "categorical"), ("missing", "drop"), ("as_", "month")])
def test_a_column_of_no_known_kind_is_refused(key, value):
    with pytest.raises(GenModelsError, match=f"column 'shop': unknown {key} '{value}'"):
        Column("shop", **{key: value})


@given(st.data(), columns())
@settings(max_examples=200, deadline=None)
def test_values_come_back_from_their_numbers(data, column):
    """decode(encode(values)) = values, missing ones too, and encode of that gives the same numbers again."""
    make = {
        "number": st.integers(-9999, 9999).map(lambda k: k * column.step if column.step else k / 7),
        "count": st.integers(-5, 10**6).map(float),
        "flag": st.sampled_from(["no", "yes"]),
        "category": st.sampled_from(column.values or ("x",)),
        "time": st.integers(0, 2 * 10**9).map(float),
    }[column.kind]
    can_miss = column.missing != "refuse"
    values = data.draw(st.lists(st.none() | make if can_miss else make, min_size=1, max_size=8))
    gone = None if column.kind in ("flag", "category") else float("nan")
    raw = [gone if value is None else value for value in values]
    given_ = np.array(raw, dtype=object if gone is None else np.float64)
    x, problems = column.encode(given_)
    assert not problems
    back = column.decode(x)
    assert [value is None for value in back] == [value is None for value in values]
    if column.kind in ("flag", "category"):
        assert back == values
    elif column.kind != "time":
        is_whole = column.kind == "count" or (column.step is not None and column.step > 1)
        assert not is_whole or all(isinstance(v, int) for v in back if v is not None)
        assert [v for v in back if v is not None] == pytest.approx([v for v in values if v is not None], rel=1e-7)
    else:
        again = pd.to_datetime(pd.Series(back, dtype=object), format="ISO8601").astype("datetime64[s]")
        seconds = again.astype("int64").where(again.notna(), np.nan).to_numpy(dtype=np.float64)
        np.testing.assert_array_equal(column.encode(seconds)[0], x)


@pytest.mark.parametrize(("kind", "values"), [("flag", ()), ("flag", ("yes",)), ("category", ())])
def test_a_column_of_words_names_them(kind, values):
    with pytest.raises(GenModelsError, match=r"column 'a': a (flag has two values|category has values)"):
        Column("a", kind, values=values)


def test_the_schema_is_plain_data_and_says_the_model_each_number(project):
    schema = Schema(
        (Column("a", step=0.01, missing="fill", fill=1.5), Column("b", "category", values=("x", "y"), missing="value"))
    )
    assert from_json(json.loads(json.dumps(schema.as_json()))) == schema
    assert schema.levels == [0.01, "flag", {"category": 3}]
    assert len(schema.names) == 5


def test_values_of_counts_steps_and_times_are_limited_to_those_of_the_training_rows(project):
    columns = Column("n", "count"), Column("p", step=0.5), Column("t", "time", as_="hour"), Column("x"), Column("u")
    schema = Schema((*columns, Column("c", "category", values=("a", "b"))))
    least, most = [2.0, 0.5, 8.0, 0.0, 0.0, 0.0, 0.0], [9.0, 4.5, 20.0, 1.0, 1.0, 1.0, 1.0]
    x = np.array([[-3.0, -2.0, 2.0, -7.0, 0.5, 1.2, 1.1], [99.0, 9.0, 30.0, 7.0, 0.5, 1.1, 1.2]])
    found = schema.decode(x, {"min": least, "max": most})
    assert found == {"n": [2, 9], "p": [0.5, 4.5], "t": [8, 20], "x": [-7.0, 7.0], "u": [0.5, 0.5], "c": ["a", "b"]}
    assert schema.decode(x)["n"] == [-3, 99]


# --- what the world writes: (cells, the kind that is proposed, the values that are read)

CELLS = {
    "numbers": (["1.5", "2.25", "-3"], "number", [1.5, 2.25, -3]),
    "blanks around": ([" 1.5", "2.25 ", " -3 "], "number", [1.5, 2.25, -3]),
    "whole numbers": (["3", "1", "2"], "count", [3, 1, 2]),
    "exponents": (["1e3", "2.5E-1", "3"], "number", [1000, 0.25, 3]),
    "an error of a spreadsheet": (["1.5", "#N/A", "2.5"], "number", [1.5, None, 2.5]),
    "a division by zero": (["1.5", "#DIV/0!", "2.5"], "number", [1.5, None, 2.5]),
    "missing words": (["1.5", "null", "2.5"], "number", [1.5, None, 2.5]),
    "truth": (["true", "false", "true"], "flag", ["true", "false", "true"]),
    "Truth": (["True", "False", "True"], "flag", ["true", "false", "true"]),
    "yes and no": (["yes", "no", "yes"], "flag", ["yes", "no", "yes"]),
    "yes and no in German": (["ja", "nein", "ja"], "flag", ["ja", "nein", "ja"]),
    "truth of a German spreadsheet": (["WAHR", "FALSCH", "WAHR"], "flag", ["wahr", "falsch", "wahr"]),
    "0 and 1": (["1", "0", "1"], "flag", ["1", "0", "1"]),
    "words": (["red", "blue", "red"], "category", ["red", "blue", "red"]),
    "codes with leading zeros": (["007", "010", "007"], "category", ["007", "010", "007"]),
    "codes with underscores": (["2023_09", "2023_10", "2023_09"], "category", ["2023_09", "2023_10", "2023_09"]),
    "telephones": (["+49 170 1234567", "+49 170 7654321", "+49 170 1234567"], "category", None),
    "decimal commas": (["1,5", "2,25", "-3"], "number", [1.5, 2.25, -3]),
    "thousands": (["1,934.5", "12,000,000", "7.25"], "number", [1934.5, 12_000_000, 7.25]),
    "thousands by points": (["1.934,5", "12.000,25", "7"], "number", [1934.5, 12000.25, 7]),
    "a point between thousands alone": (["1,5", "4.902", "3,25"], "number", [1.5, 4902, 3.25]),
    "thousands by blanks": (["1 934.5", "12 000", "7"], "number", [1934.5, 12000, 7]),
}


def test_points_beside_decimal_commas_are_between_thousands_where_a_cell_tells_it(project, tmp_path):
    amounts = ["1.149,22", "3,50", "12,10"]
    path = write(
        tmp_path / "t.csv", {"p": [amounts[k % 3] for k in range(ROWS)], "n": ["2.304", "12", "7"] * (ROWS // 3)}, ";"
    )
    assert np.asarray(look(path).arrays.x)[:2].tolist() == [[1149.22, 2304], [3.5, 12]]
    amounts[0] = "4.902"  # this does not tell it for the other column
    write(path, {"p": [amounts[k % 3] for k in range(ROWS)], "n": ["2.304", "12", "7"] * (ROWS // 3)}, ";")
    with pytest.raises(GenModelsError, match=r"'2\.304' may be 2304 or 2\.304, beside the decimal commas of p"):
        look(path)
    with pytest.raises(GenModelsError, match=r"'4\.902' is not a number; say --thousands \. if "):
        look(path, reading=Reading(decimal=","))
    for mark, row in ((".", [4902, 2304]), ("", [4.902, 2.304])):
        assert np.asarray(look(path, reading=Reading(thousands=mark)).arrays.x)[0].tolist() == row


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("end", [".csv", ".TSV"])
def test_cells_are_read_as_people_mean_them(project, tmp_path, name, end):
    cells, kind, values = CELLS[name]
    cells = [cells[k % 3] for k in range(ROWS)]
    other = [cell.replace(".", ",") for cell in NORMAL] if "between" in name or "by points" in name else NORMAL
    path = write(tmp_path / f"t{end}", {"c": cells, "a": other}, "\t" if end == ".TSV" else ",")
    found = look(path)
    assert found.columns["c"]["kind"] == kind, found.notes
    if values is not None:
        schema = found.arrays.schema
        back = schema.decode(np.nan_to_num(np.asarray(found.arrays.x)))["c"]
        assert back[:3] == values
    assert np.asarray(found.arrays.x)[:, -1] == pytest.approx([float(cell) for cell in NORMAL])


def test_dates_with_the_day_first_are_the_days_of_the_iso_form(project, tmp_path):
    """However a table is read: from a text file by Arrow, or cell by cell, as a server does."""
    written = ["06.05.2024", "31.12.2023 08:15", "1.6.2024", "1.6.2024 7:05", "9.12.2023 23:59:58"]
    iso = ["2024-05-06", "2023-12-31 08:15", "2024-06-01", "2024-06-01 07:05", "2023-12-09 23:59:58"]
    table = {"a": NORMAL, "at": [written[k % 5] for k in range(ROWS)]}
    found = look(write(tmp_path / "t.csv", table), wishes=Wishes(kinds={"at": "time"}))
    schema = found.arrays.schema
    x, problems = schema.encode({"a": np.zeros(5), "at": np.array(iso)})
    assert np.asarray(found.arrays.x)[:5, 1].tolist() == x[:, 1].tolist() and not problems
    assert schema.encode({"a": np.zeros(5), "at": np.array(written)})[0].tolist() == x.tolist()
    with pytest.raises(GenModelsError, match=r"line 3, column 'at': '30\.02\.2024' is not a time"):
        look(
            write(tmp_path / "t.csv", {**table, "at": ["1.1.2024", "30.02.2024", *table["at"][2:]]}),
            wishes=Wishes(kinds={"at": "time"}),
        )
    assert "takes them as numbers" in " ".join(look(tmp_path / "t.csv").notes)
    clock = look(write(tmp_path / "t.csv", {"a": NORMAL, "at": [f"{k % 24}:{k % 60:02d}" for k in range(ROWS)]}))
    assert "times; write times of day as hours, such as 21.25, or with their day" in " ".join(clock.notes)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize(("clock", "as_"), [(0, "days"), (1, "seconds")])
def test_dates_without_a_time_of_day_are_asked_for_in_days(project, tmp_path, name, clock, as_):
    at = [datetime.datetime(2024, 2, 28 - k, clock) for k in range(12)]
    path, a = tmp_path / name, [k * 0.5 for k in range(12)]
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"a": a, "at": at}), path)
    else:
        write(path, {"a": a, "at": [str(one) if clock else str(one.date()) for one in at]})
    found = look(path, wishes=Wishes(kinds={"at": "time"}))
    column = found.arrays.schema.columns[1]
    assert (column.kind, column.as_) == ("time", as_)
    assert column.decode(np.asarray(found.arrays.x)[:1, 1:])[0] == (at[0].isoformat() if clock else str(at[0].date()))


def test_one_mistake_among_numbers_never_makes_classes_of_them(project, tmp_path):
    cells = [*NORMAL[:7], "1.5 bar", *NORMAL[8:]]
    path = write(tmp_path / "t.csv", {"a": OTHER, "flow": cells})
    with pytest.raises(GenModelsError, match=r"t\.csv, line 9, column 'flow': '1\.5 bar' among numbers"):
        look(path)


ROLES = {  # {name: (cells, role or kind)}
    "is_fraud": ([str(int(k % 12 == 0)) for k in range(ROWS)], "label"),
    "Outlier": ([str(int(k % 12 == 0)) for k in range(ROWS)], "label"),
    "groundTruth": ([str(int(k % 12 == 0)) for k in range(ROWS)], "label"),
    "class": (["ab"[k % 2] for k in range(ROWS)], "label"),
    "is_member": ([str(k % 2) for k in range(ROWS)], "flag"),
    "customer_id": ([str(1001 + k) for k in range(ROWS)], "id"),
    "uuid": ([f"u{k}" for k in range(ROWS)], "id"),
    "line": ([str(k) for k in range(ROWS)], "id"),
    "note": ([f"text of {k}" for k in range(ROWS)], "ignore"),
    "when": ([f"2024-03-{1 + k % 28:02}" for k in range(ROWS)], "ignore"),
    "day": ([f"{1 + k % 28}/3/2024" for k in range(ROWS)], "ignore"),
    "same": (["7"] * ROWS, "ignore"),
    "gone": ([""] * ROWS, "ignore"),
    "rare": (["1" if k == 9 else "0" for k in range(ROWS)], "flag"),
}


@pytest.mark.parametrize("name", ROLES)
def test_a_column_that_is_no_plain_feature_has_another_role_or_is_spoken_of(project, tmp_path, name):
    cells, expected = ROLES[name]
    found = look(write(tmp_path / "t.csv", {"a": NORMAL, name: cells, "b": OTHER}))
    entry = found.columns[name]
    assert entry.get("role", entry.get("kind")) == expected
    if expected != "flag":
        assert any(note.startswith(f"{name}: ") for note in found.notes)


@pytest.mark.parametrize("name", ["type", "Kind", "category"])
def test_a_type_is_a_feature_unless_it_is_the_last_column_as_labels_are(project, tmp_path, name):
    kinds, shops = ["sale", "refund", "gift"] * (ROWS // 3), ["n", "s"] * (ROWS // 2)
    found = look(write(tmp_path / "t.csv", {name: kinds, "a": NORMAL, "shop": shops}))
    assert found.columns[name]["kind"] == "category"
    assert f"say --label {name}" in " ".join(found.notes)
    assert look(tmp_path / "t.csv", wishes=Wishes(label=name)).columns[name] == {"role": "label"}
    last = look(write(tmp_path / "t.csv", {"a": NORMAL, "shop": shops, name: kinds}))
    assert last.columns[name] == {"role": "label"}
    answer = {name: kinds, "a": NORMAL, "fraud": [str(int(k % 6 == 0)) for k in range(ROWS)]}
    assert look(write(tmp_path / "t.csv", answer)).columns[name]["kind"] == "category"


def test_the_answer_of_a_table_is_held_out_as_the_anomaly(project, tmp_path):
    labels = [str(int(k % 6 == 0)) for k in range(ROWS)]
    path = write(tmp_path / "t.csv", {"a": NORMAL, "b": OTHER, "fraud": labels})
    add_data.main(["t", str(path)])
    prepare.main(["t"])
    data = open_data("t")
    assert [data.manifest["classes"][k] for k in data.manifest["anomaly"]] == ["1"]
    assert all(set(data.y(split)) == {0} for split in ("train", "validation", "calibration"))


# --- questions, and answers that work when typed


def options_in(line: str) -> list[list[str]]:
    """The answers that an error offers, as words of a command."""
    return [shlex.split(found) for found in re.findall(r"--no-header|--[a-z]+ (?:'[^']*'|[^ ;,]+|,)", line)]


QUESTIONS = {
    "thousands or decimals": {"a": NORMAL, "price": [f"{1 + k % 9},{100 + k}" for k in range(ROWS)]},
    "two answers": {"a": NORMAL, "is_fraud": ["0", "1"] * (ROWS // 2), "target": ["x", "y"] * (ROWS // 2)},
    "a mistake": {"a": NORMAL, "b": [*OTHER[:-1], "n. v."]},
    "no label in a row": {"a": NORMAL, "label": ["", *["xy"[k % 2] for k in range(ROWS - 1)]]},
    "no header": {NORMAL[0]: NORMAL, OTHER[0]: OTHER},
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_answer_of_a_question_works_when_typed(project, tmp_path, name):
    path = write(tmp_path / "t.csv", QUESTIONS[name])
    with pytest.raises(GenModelsError) as caught:
        add_data.main(["t", str(path)])
    assert "\n" not in str(caught.value)
    answers = options_in(str(caught.value))
    assert answers, str(caught.value)
    for k, answer in enumerate(answers):
        if answer == ["--missing", "n. v."] or len(answer) == 2 or answer == ["--no-header"]:
            add_data.main([f"t{k}", str(path), *answer])
            prepare.main([f"t{k}"])


def test_columns_that_one_format_cannot_read_are_told(project, tmp_path):
    cells = ["1.934,5", "12.000,25"] * (ROWS // 2)
    with pytest.raises(GenModelsError, match=r"different ways, c as 1\.234,5 and a as 1234\.5; save them in one"):
        look(write(tmp_path / "t.csv", {"c": cells, "a": NORMAL}))


def test_latin_1_is_read_when_its_encoding_is_said(project, tmp_path):
    path = tmp_path / "t.csv"
    body = "".join(f"{a};{b}\n" for a, b in zip(NORMAL, OTHER, strict=True))
    path.write_bytes(f"größe;b\n{body}".encode("cp1252"))
    with pytest.raises(GenModelsError, match="--encoding cp1252"):
        look(path)
    assert list(look(path, reading=Reading(encoding="cp1252")).columns) == ["größe", "b"]


# --- other files


def test_a_parquet_file_keeps_its_types_and_leaves_out_its_index(project, tmp_path):
    frame = pd.DataFrame({"size": rng.normal(size=ROWS), "colour": rng.choice(["red", "blue"], ROWS)})
    frame = pd.get_dummies(frame).assign(when=pd.Timestamp("2024-01-01"), n=pd.array([None, *range(ROWS - 1)], "Int64"))
    frame.sample(frac=1, random_state=0).to_parquet(tmp_path / "t.parquet")
    kinds = {name: entry.get("role", entry.get("kind")) for name, entry in look(tmp_path / "t.parquet").columns.items()}
    index = kinds.pop("__index_level_0__")
    assert kinds == {"size": "number", "colour_blue": "flag", "colour_red": "flag", "when": "ignore", "n": "count"}
    assert index == "id"


def test_lists_of_numbers_are_columns(project, tmp_path):
    vectors = rng.normal(size=(ROWS, 6)).astype(np.float32)
    lists = pa.array(list(vectors), pa.list_(pa.float32()))
    names = pa.array([f"u{k}" for k in range(ROWS)], pa.large_string())  # as pandas writes words
    pq.write_table(pa.table({"uuid": names, "emb": lists}), tmp_path / "t.parquet")
    found = look(tmp_path / "t.parquet")
    assert found.columns == {"uuid": {"role": "id"}, "emb": {"kind": "number", "length": 6}}
    np.testing.assert_array_equal(np.asarray(found.arrays.x, dtype=np.float32), vectors)


@pytest.mark.parametrize("names", [("X", "y"), ("x", "y"), ("data", "target"), ("arr_0", None)])
def test_an_npz_of_rows_and_labels_is_a_table(project, tmp_path, names):
    x, y = rng.normal(size=(ROWS, 3)), np.arange(ROWS) % 2
    np.savez(tmp_path / "t.npz", **({names[0]: x} | ({names[1]: y} if names[1] else {})))
    found = look(tmp_path / "t.npz")
    np.testing.assert_array_equal(np.asarray(found.arrays.x), x)
    assert found.arrays.classes == (("0", "1") if names[1] else ())


@pytest.mark.parametrize(("width", "source"), [(9, "table"), (64, "npz")])
def test_bytes_are_counts_of_a_table_or_pixels_if_they_are_many(project, tmp_path, width, source):
    x = rng.integers(0, 200, (ROWS, width)).astype(np.uint8)
    np.savez(tmp_path / "t.npz", X=x, y=np.arange(ROWS) % 2)
    found = look(tmp_path / "t.npz")
    assert found.source == source
    np.testing.assert_array_equal(np.asarray(found.arrays.x), x)
    assert found.arrays.classes == ("0", "1")


def test_labels_of_text_in_an_npz_are_never_unpickled(project, tmp_path):
    labels = np.array(["ok", "bad"] * (ROWS // 2), dtype=object)
    np.savez(tmp_path / "t.npz", x=rng.normal(size=(ROWS, 3)), y=labels)
    with pytest.raises(GenModelsError, match=r"save y\.astype\(str\)"):
        look(tmp_path / "t.npz")
    np.savez(tmp_path / "t.npz", x=rng.normal(size=(ROWS, 3)), y=labels.astype(str))
    assert look(tmp_path / "t.npz").arrays.classes == ("bad", "ok")


def test_an_error_names_the_line_also_after_cells_with_line_ends(project, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,note\n1.5,"two\nlines"\n\n2.5,x\noops,y\n')
    table = open_table(path)
    assert [table.place(row) for row in range(3)] == ["line 2", "line 5", "line 6"]


# --- numbers that 32 bits cannot hold apart


@pytest.mark.parametrize(
    "values",
    [1_700_000_000 + rng.permutation(ROWS), 101325 + np.round(rng.random(ROWS), 2), 1e9 + rng.random(ROWS)],
    ids=["epoch seconds", "pressure", "far from zero"],
)
def test_nothing_is_merged_and_nothing_is_called_constant(project, tmp_path, values):
    path = write(tmp_path / "t.csv", {"a": NORMAL, "wide": [repr(value) for value in values.tolist()]})
    add_data.main(["t", str(path)])
    prepare.main(["t"])
    data = open_data("t")
    stored = np.concatenate([data.x(split)[:, 1] for split in data.splits])
    assert data.x("train").dtype == np.float64
    np.testing.assert_array_equal(np.sort(stored), np.sort(values.astype(np.float64)))
    low, high = (data.manifest["statistics"][name][1] for name in ("min", "max"))
    assert low < high


@given(st.integers(0, 6), st.integers(10, 60))
@settings(max_examples=50, deadline=None)
def test_a_step_is_found_where_numbers_are_equal_and_all_lie_on_its_grid(places, count):
    x = np.round(np.random.default_rng(places).normal(size=count) * 3, places)
    step = step_of(x)
    if len(np.unique(x)) == len(x):
        assert step is None
    else:
        assert step is not None
        assert np.abs(x / step - np.rint(x / step)).max() < 1e-5 or step <= 2e-6 * x.std()


# --- what add-data accepts, prepare prepares, and scoring reads again

TABLES = {
    "two dozen rows": {"a": NORMAL[:24], "b": OTHER[:24]},
    "one column": {"a": NORMAL},
    "one class": {"a": NORMAL, "b": OTHER, "class": ["normal"] * ROWS},
    "one row of a class": {"a": NORMAL, "b": OTHER, "class": ["odd", *["usual"] * (ROWS - 1)]},
    "flags only": {"x": ["yes", "no"] * (ROWS // 2), "z": ["true", "false", "false"] * (ROWS // 3)},
    "categories only": {"shop": ["n", "s", "w"] * (ROWS // 3), "day": ["mo", "tu"] * (ROWS // 2)},
    "a rare flag": {"a": NORMAL, "flag": ["1", *["0"] * (ROWS - 1)]},
    "a rare number": {"a": NORMAL, "b": ["1.5", *["0.25"] * (ROWS - 1)]},
    "missing values": {"a": ["", *NORMAL[1:]], "s": ["n", "s", ""] * (ROWS // 3), "f": ["yes", "", "no"] * (ROWS // 3)},
    "few values": {"a": NORMAL, "n": [str(k % 4) for k in range(ROWS)], "price": [f"{k % 7}.50" for k in range(ROWS)]},
    "odd names": {"pH, water": NORMAL, '5" pipe': OTHER, "<b>": NORMAL[::-1], "ä.ß": OTHER[::-1], "a=b": NORMAL},
    "a name with a sign of YAML": {"${x}": NORMAL, "2024": OTHER, "- a: b #": NORMAL[::-1], "null": OTHER[::-1]},
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_what_is_added_prepares_and_is_read_again_for_scoring(project, tmp_path, name):
    path = write(tmp_path / "t.csv", TABLES[name])
    add_data.main(["t", str(path)])
    prepare.main(["t"])
    data = open_data("t")
    facts = {"event_shape": list(data.event_shape), **about_rows(data, data_conf("t"))}
    blocks = list(read_blocks(path, facts))
    assert not any(block.problems for block in blocks)
    read = np.concatenate([block.x for block in blocks])
    prepared = np.concatenate([data.x(split) for split in data.splits])
    order = [np.lexsort(np.asarray(x, dtype=np.float32).T) for x in (read, prepared)]
    np.testing.assert_allclose(read[order[0]], prepared[order[1]], rtol=1e-6)
    raw = data.schema.decode(read)  # a table in raw values again, which can be read once more
    again = write(tmp_path / "again.csv", {k: ["" if v is None else v for v in vs] for k, vs in raw.items()})
    np.testing.assert_allclose(np.concatenate([b.x for b in read_blocks(again, facts)]), read, rtol=1e-6)


def test_inspect_and_add_data_say_the_same_and_inspect_adds_nothing(project, tmp_path, capsys):
    path = write(tmp_path / "t.csv", TABLES["missing values"])
    before = sorted(p for p in project.rglob("*") if p.is_file() and "work" not in p.parts)
    inspect.main([str(path)])
    shown = capsys.readouterr().out
    assert sorted(p for p in project.rglob("*") if p.is_file() and "work" not in p.parts) == before
    add_data.main(["t", str(path)])
    text = (project / "conf" / "data" / "t.yaml").read_text()
    assert all(line.strip() in shown for line in text.splitlines())


# --- scoring

FRAME = {"a": NORMAL, "shop": ["n", "s", "w"] * (ROWS // 3), "member": ["yes", "no"] * (ROWS // 2)}


@pytest.fixture
def scored(project, tmp_path):
    """A mixture of a table in a checkpoint's folder, and what is known of it."""
    from gen_models.build import build_model

    path = write(tmp_path / "t.csv", FRAME)
    add_data.main(["t", str(path)])
    prepare.main(["t"])
    data = open_data("t")
    spec = {
        "_target_": "gen_models.mixtures.gaussian_mixture.GaussianMixture",
        "event_shape": list(data.event_shape), "levels": data.schema.levels, "components": 2, "covariance": "diagonal",
    }  # fmt: skip
    model = build_model(spec, 0)
    model.warm_start(data.rows("train"), Noise(0))
    save_model(tmp_path / "checkpoint", spec, model, data=about_rows(data, data_conf("t")))
    return model.eval(), serving.facts_of(tmp_path / "checkpoint"), path


def test_a_row_with_a_problem_takes_no_other_with_it(scored, tmp_path):
    model, facts, _ = scored
    good = pd.DataFrame(FRAME)[["a", "shop", "member"]].head(3)
    bad = pd.DataFrame({"a": ["far", "", "1e999", "2023_09"], "shop": ["n", "mars", "s", "s"], "member": "no"})
    answer = serving.answer_table(model, pd.concat([good.head(1), bad, good.tail(2)], ignore_index=True), facts=facts)
    alone = serving.answer_table(model, good, facts=facts)
    is_bad = answer["problem"] != ""
    assert is_bad.tolist() == [False, True, True, True, True, False, False]
    np.testing.assert_allclose(answer["nll"][~is_bad].astype(float), alone["nll"], rtol=1e-6)
    assert answer["nll"][is_bad].isna().all()


def test_columns_are_taken_by_name_and_a_missing_one_is_named(scored):
    model, facts, _ = scored
    frame = pd.DataFrame(FRAME).assign(a=lambda f: f["a"].astype(float))
    straight = serving.answer_table(model, frame, facts=facts)
    turned = serving.answer_table(model, frame[["member", "a", "shop"]].assign(more=1), facts=facts)
    pd.testing.assert_frame_equal(straight, turned)
    with pytest.raises(GenModelsError, match="column 'shop', on which the model was trained, is missing"):
        serving.answer_table(model, frame.drop(columns="shop"), facts=facts)


def test_samples_are_rows_of_the_table_and_can_be_scored(scored, tmp_path):
    model, facts, _ = scored
    drawn = serving.answer_table(model, pd.DataFrame(index=range(20)), facts=facts, task="sample", n=20)
    assert list(drawn) == ["a", "shop", "member"]
    assert set(drawn["shop"]) <= {"n", "s", "w"}
    assert set(drawn["member"]) <= {"no", "yes"}
    assert (serving.answer_table(model, drawn, facts=facts)["problem"] == "").all()


def test_every_format_of_a_table_has_the_same_scores(scored, tmp_path):
    _, facts, path = scored
    frame = pd.DataFrame(FRAME).assign(a=lambda f: f["a"].astype(float))
    frame.to_parquet(tmp_path / "u.parquet")
    frame.to_csv(tmp_path / "U.CSV", index=False)
    frame.to_csv(tmp_path / "u.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "semicolons.csv", index=False, sep=";")
    frame.sample(frac=1, axis=1, random_state=1).to_csv(tmp_path / "bom.csv", index=False, encoding="utf-8-sig")
    expected = np.concatenate([block.x for block in read_blocks(path, facts)])
    for name in ("u.parquet", "U.CSV", "u.tsv", "semicolons.csv", "bom.csv"):
        found = np.concatenate([block.x for block in read_blocks(tmp_path / name, facts)])
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_progress_never_tells_of_more_rows_than_there_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pipelines.runtime.progress.SECONDS_BETWEEN_LINES", 0.0)
    x = np.arange(14.0).reshape(7, 2)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", X=x)
    pd.DataFrame(x, columns=["a", "b"]).to_parquet(tmp_path / "x.parquet")
    for name in ("x.npy", "x.npz", "x.parquet"):
        Progress("score", count_rows(tmp_path / name), "row").show(7, "none is bad")
    assert capsys.readouterr().out.splitlines() == [f"score: 7{of} rows, none is bad" for of in ("/7", "", "/7")]


def test_the_source_needs_every_column_said(project, tmp_path):
    path = write(tmp_path / "t.csv", {"a": NORMAL, "new": OTHER})
    with pytest.raises(GenModelsError, match=r"does not say what column 'new' is; add 'new': \{role: ignore\}"):
        SOURCES["table"](Noise(0), path=str(path), columns={"a": {"kind": "number"}})


# --- what a table is told or shows only later


def test_a_mark_between_thousands_counts_only_between_groups_of_three():
    german = {"decimal": ",", "thousands": "."}
    for cells, how, values in (
        (["1.234,5", "1.234", "12,5", "7"], german, [1234.5, 1234, 12.5, 7]),
        (["1.5", "12.25", "1.2.3"], german, [None, None, None]),
        (["1,234.5", "12,000,000"], {"thousands": ","}, [1234.5, 12_000_000]),
        (["1,5", "1,2,3", "12,34"], {"thousands": ","}, [None, None, None]),
    ):
        x, odd = numbers(pa.array(cells), **how)
        assert [None if is_odd else value for value, is_odd in zip(x, odd, strict=True)] == values


@pytest.mark.parametrize("above", ["", "\n", "\n\n"])
def test_empty_lines_above_the_header_change_nothing(project, tmp_path, above):
    body = "".join(f"{a},{'xy'[k % 2]}\n" for k, a in enumerate(NORMAL))
    (tmp_path / "t.csv").write_text(above + "a,shop\n" + body)
    found = look(tmp_path / "t.csv", wishes=Wishes(label="none"))
    assert len(found.arrays.x) == ROWS
    assert found.columns["shop"]["values"] == ["x", "y"]


@pytest.mark.parametrize("wish", [Wishes(ignored=("sex",)), Wishes(ids=("sex",)), Wishes(kinds={"sex": "category"})])
def test_what_a_person_says_wins_over_a_guess(project, tmp_path, wish):
    path = write(tmp_path / "t.csv", {"a": NORMAL, "b": OTHER, "sex": ["m", "f"] * (ROWS // 2)})
    assert look(path).columns["sex"] == {"role": "label"}
    assert look(path, wishes=wish).columns["sex"].get("role") != "label"


def test_a_step_holds_for_every_row_also_those_after_the_sample(project, tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "SAMPLE_ROWS", 20)
    cells = [*[f"{k % 7}.25" for k in range(40)], *[f"{k}.12345" for k in range(20)]]
    entry = look(write(tmp_path / "t.csv", {"a": NORMAL, "price": cells})).columns["price"]
    assert entry == {"kind": "number", "step": 1e-5}
    hundreds = [*[f"{100 * (k % 15)}" for k in range(55)], *["250"] * 5]
    for cells, step in ((hundreds, 50), ([*hundreds[:-1], "7"], None), (hundreds[:55] + ["300"] * 5, 100)):
        entry = look(write(tmp_path / "t.csv", {"a": NORMAL, "rent": cells})).columns["rent"]
        assert entry == ({"kind": "count"} if step is None else {"kind": "number", "step": step})


def test_flags_are_read_however_they_are_written(project, tmp_path):
    path = write(tmp_path / "t.csv", {"a": NORMAL, "flag": ["0", "1", "1"] * (ROWS // 3)})
    schema = look(path).arrays.schema
    for cells in (["0.0", "1.0"], [0, 1], [0.0, 1.0], [False, True]):
        x, problems = schema.encode({"a": np.zeros(2), "flag": np.array(cells)})
        assert (x[:, 1].tolist(), problems) == ([0, 1], {}) or isinstance(cells[0], bool)
    with pytest.raises(GenModelsError, match="differ only in upper and lower case; write kind: category"):
        roles_of({"f": {"kind": "flag", "values": ["M", "m"]}}, "conf/data/t.yaml")


def test_truth_in_parquet_is_a_flag_a_category_with_gaps_or_a_label(project, tmp_path):
    truth = [True, False, False, None] * (ROWS // 4)
    columns = {"a": rng.normal(size=ROWS), "gaps": truth, "is_fraud": [k % 12 == 0 for k in range(ROWS)]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = look(tmp_path / "t.parquet")
    assert found.columns["gaps"] == {"kind": "category", "values": ["false", "true"], "missing": "value"}
    assert (found.columns["is_fraud"], found.anomaly) == ({"role": "label"}, "true")
    assert found.arrays.classes == ("false", "true")


def test_times_of_utc_are_times(project, tmp_path):
    path = write(
        tmp_path / "t.csv", {"a": NORMAL, "at": ["2024-03-01 10:00:00 UTC", "2024-03-02T11:30Z"] * (ROWS // 2)}
    )
    found = look(path, wishes=Wishes(kinds={"at": "time"}))
    assert np.asarray(found.arrays.x)[:2, 1].tolist() == [1709287200, 1709379000]


def test_nothing_is_half_added_if_params_yaml_cannot_be_written(project, tmp_path, monkeypatch):
    path = write(tmp_path / "t.csv", {"a": NORMAL, "b": OTHER})
    (project / "params.yaml").chmod(0o444)
    with pytest.raises(GenModelsError, match="may not be written"):
        add_data.main(["t", str(path)])
    assert not (project / "conf" / "data" / "t.yaml").exists()
    (project / "params.yaml").chmod(0o644)
    add_data.main(["t", str(path)])


def test_an_answer_has_the_same_columns_whatever_its_first_rows_miss(tmp_path):
    blocks = [{"a": [None, 1], "n": [1, 2], "w": ["x", None]}, {"a": [2.5, None], "n": [None, 3], "w": [None, "y"]}]
    for end in ("npy", "parquet", "csv"):
        with answering(tmp_path / f"t.{end}") as answer:
            for block in blocks:
                answer.write(block)
    numbers_ = np.load(tmp_path / "t.npy")
    np.testing.assert_array_equal(numbers_, [[np.nan, 1], [1, 2], [2.5, np.nan], [np.nan, 3]])
    kept = pq.read_table(tmp_path / "t.parquet").to_pydict()
    assert kept == {"a": [None, 1, 2.5, None], "n": [1, 2, None, 3], "w": ["x", None, None, "y"]}
    assert (tmp_path / "t.csv").read_text() == "a,n,w\n,1,x\n1,2,\n2.5,,\n,3,y\n"


@pytest.mark.parametrize("name", ["none.csv", "pipe.csv", "long.csv", "objects.npz"])
def test_what_is_no_table_is_one_line_for_predict_too(scored, tmp_path, name):
    path = tmp_path / name
    if name == "pipe.csv":
        os.mkfifo(path)
    if name == "long.csv":
        path.write_text(f'a,shop,member\n"{"x" * 200_000}",n,yes\n')
    if name == "objects.npz":
        np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(GenModelsError) as caught:
        predict.main([str(tmp_path / "checkpoint"), str(path)])
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


# --- one number far from all others


@pytest.mark.parametrize("end", [".csv", ".parquet"])
def test_a_number_beside_which_all_others_look_equal_is_noted_with_its_row(project, tmp_path, end):
    far, wide = [*NORMAL[:7], "1e99", *NORMAL[8:]], [str(10.0**k) for k in range(-30, 30)]
    path = write(tmp_path / "t.csv", {"a": NORMAL, "b b": far, "c": wide})
    if end == ".parquet":
        pd.read_csv(path).to_parquet(path := tmp_path / "t.parquet")
    told = [note for note in look(path).notes if "so far from the others" in note]
    where = "line 9" if end == ".csv" else "row 7"
    assert told == [
        f"b b: 1e+99 in {where} is so far from the others that a model sees those as equal; "
        "correct it, or --ignore 'b b'"
    ]
    assert "so far from" not in str(look(path, wishes=Wishes(ignored=("b b",))).notes)


def test_of_a_large_table_each_row_that_is_looked_at_is_looked_at_once(project, tmp_path, monkeypatch):
    path = write(tmp_path / "t.csv", {name: [cell.replace(".", ",") for cell in NORMAL * 40] for name in "ab"}, ";")
    monkeypatch.setattr("pipelines.data.look.LARGE_BYTES", 0)
    monkeypatch.setattr("pipelines.data.look.FIRST_ROWS", 100)
    monkeypatch.setattr("pipelines.data.tables.csv_text.BLOCK_BYTES", 1 << 10)
    fact = look(path, in_part=True).facts["a"]
    assert sum(map(len, fact.sample)) == fact.rows < 200


# --- what is added can be taken back


def test_what_add_data_wrote_is_taken_back_unless_another_line_uses_it(project, tmp_path):
    path = write(tmp_path / "t.csv", {"a": NORMAL, "b": OTHER})
    before = {file: file.read_bytes() for file in project.rglob("*.yaml")}
    add_data.main(["mine", str(path)])
    held = yaml.safe_load((project / "params.yaml").read_text())
    for section in ("sweeps", "runs"):
        held[section]["mine-too"] = {"model": "vae", "data": "mine"}
    write_params(project, held)
    with pytest.raises(
        GenModelsError, match=r"params\.yaml: mine is used by sweeps\.mine-too; remove these lines first"
    ):
        remove_data.main(["mine"])
    assert (project / "conf" / "data" / "mine.yaml").is_file()
    for section in ("sweeps", "runs"):
        del held[section]["mine-too"]
    write_params(project, held)
    remove_data.main(["mine"])
    assert set(project.rglob("*.yaml")) == set(before)
    assert yaml.safe_load((project / "params.yaml").read_text()) == {
        **params_of({}, budget="quick", data=[]),
        "files": {},
    }
    assert path.is_file()


@pytest.mark.parametrize("stem", ["iris", "no", "my clients (may)", "x" * 120, "é"])
def test_the_command_that_inspect_prints_adds_the_data(project, tmp_path, monkeypatch, capsys, stem):
    path = write(tmp_path / f"{stem}.csv", {"a": NORMAL, "b": OTHER})
    inspect.main([str(path)])
    (words,) = re.findall(r"To add it: gen-models add-data (.*)", capsys.readouterr().out)
    add_data.main(shlex.split(words))


def test_other_words_for_yes_and_no_mean_the_same_and_no_others_do():
    """A model of `ja` and `nein` reads the same table with booleans, and one of booleans reads `ja` and `nein`."""
    for values in (("nein", "ja"), ("false", "true"), ("no", "yes")):
        x, problems = Column("paid", "flag", values=values).encode(
            np.array([True, False, "Ja", "nein", "0"], dtype=object)
        )
        assert x[:, 0].tolist() == [1, 0, 1, 0, 0] and not problems
    x, problems = Column("paid", "flag", values=("yes", "no")).encode(np.array(["true", "no"], dtype=object))
    assert x[:, 0].tolist() == [0, 1] and not problems
    _, problems = Column("side", "flag", values=("left", "right")).encode(np.array(["true", "left"], dtype=object))
    assert problems == {0: "side: 'true' is not among left, right"}


def test_a_number_of_few_values_far_apart_is_said_to_be_better_a_category(tmp_path):
    rows = [["0.0", "5.0", "7.5", "10.0", "15.0"][(7 * k + k // 11) % 5] for k in range(400)]
    near, of_all = [str(k % 5) for k in range(400)], [f"{k / 7:.2f}" for k in range(400)]
    (tmp_path / "t.csv").write_text("discount,rooms,price\n" + "".join(map("{},{},{}\n".format, rows, near, of_all)))
    notes = look(tmp_path / "t.csv").notes
    assert [note for note in notes if "gaps between them" in note] == [
        "discount: 5 different numbers with gaps between them; --kind discount=category gives each a "
        "probability of its own, and none to others"
    ]
