"""What pipelines.config.yaml_file reads, DVC's parser reads identically; what it refuses is one line with the fix."""

import re
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml
from hypothesis import given
from hypothesis import strategies as st

from gen_models.errors import ConfigError
from pipelines.config import yaml_file

CONFUSING = [
    *("33_1", "_1", "1_", "0o17", "017", "08", "00", "-0", "+1", "0x1f", "0b11", "1:30", "1:30.5", "190:20:30"),
    *("1e3", "1e-3", "1.5e3", "1.0e-3", "1.e+3", ".5", "-.5", "+.5e+3", ".5e-3", "1.", ".", "-.inf", ".inf", ".NaN"),
    *("1_000.5", "12345678901234567890", "yes", "No", "on", "OFF", "y", "n", "true", "FALSE", "tRue", "null", "~"),
    *("2020-01-01", "2020-01-01 10:00:00", "=", "<<", "''", '"no"', "'1e3'", "a.b", "é", "!!int 3", "!!str 3", "!x a"),
    *(
        "a b",
        "a: b",
        "a#b",
        "a #b",
        "a:b",
        "- a",
        "[a, b]",
        "{a: b}",
        "{a: 1, a: 2}",
        "*one",
        "&two x",
        "? a",
        "|",
        "@a",
    ),
]
SCALAR = st.sampled_from(CONFUSING) | st.text("0123456789+-._:eExobnyTtrueNoOfF~=<", max_size=6)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    root = tmp_path_factory.mktemp("yaml")
    (root / "params.yaml").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        yield root / "params.yaml"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@given(st.lists(st.tuples(SCALAR, SCALAR), min_size=1, max_size=4), SCALAR, SCALAR)
def test_what_is_read_is_what_dvc_reads(path, lines, item, merged):
    text = f"one: &one\n  own: {merged}\n" + "".join(f"{key}: {value}\n" for key, value in lines)
    text += f"two:\n  - {item}\n  - {{<<: *one, {merged}: {item}}}\n"
    try:
        found = yaml_file.read(written(path, text))
    except ConfigError as error:
        assert str(error).startswith("params.yaml: ") and "\n" not in str(error)
        return
    assert repr(found) == repr(load_yaml(path))  # of the same types, and nan is nan


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18) + 1, 10**18 - 1) | st.floats() | st.text() | SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | SCALAR, inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_what_is_dumped_is_read_back_by_both(path, value):
    written(path, f"value: {yaml_file.dump(value)}\n")
    assert repr(yaml_file.read(path, dotted_keys=True)) == repr(load_yaml(path)) == repr({"value": value})


REFUSED = [  # a file, the line that it must give after its name, and the file as the line says to write it
    (
        "a: 33_1",
        'line 1: a: 33_1: PyYAML reads 331 and DVC reads 331: write 331 for the number, "33_1" for the text',
        "a: 331",
    ),
    ("33_1: a", 'line 1: 33_1: PyYAML reads 331 and DVC reads 331: write 331 for the number, "33_1"', '"33_1": a'),
    ("a: no", "line 1: a: no: PyYAML reads False and DVC reads 'no': write false, or \"no\" for the text", "a: false"),
    ("a:\n  on: 1", "line 2: on: PyYAML reads True and DVC reads 'on': write true, or \"on\" for the", 'a:\n  "on": 1'),
    ("a: 1:30", "line 1: a: 1:30: PyYAML reads 90 and DVC reads '1:30': write \"1:30\" for the text", 'a: "1:30"'),
    ("a: 017", "line 1: a: 017: PyYAML reads 15 and DVC reads 17: write 17 for the number", "a: 17"),
    ("a: 0o17", "line 1: a: 0o17: PyYAML reads '0o17' and DVC reads 15: write \"0o17\" for the text", 'a: "0o17"'),
    ("a: 1e-3", "line 1: a: 1e-3: PyYAML reads '1e-3' and DVC reads 0.001: write 1.0e-3 for the number", "a: 1.0e-3"),
    ("a: 1.5E3", "line 1: a: 1.5E3: PyYAML reads '1.5E3' and DVC reads 1500.0: write 1.5e+3 for", "a: 1.5e+3"),
    ("a: -.5", "line 1: a: -.5: PyYAML reads '-.5' and DVC reads -0.5: write -0.5 for the number", "a: -0.5"),
    ("a: 2020-01-01", 'DVC reads datetime.date(2020, 1, 1): write "2020-01-01" for the text', 'a: "2020-01-01"'),
    ("a: =", 'line 1: a: =: PyYAML reads nothing and DVC reads nothing: write "=" for the text', 'a: "="'),
    ("a: 1\nb: 2\na: 3", "line 3: the key a is also in line 1, and one would be lost: remove one", "a: 1\nb: 2"),
    ("a: {b: 1, b: 1}", "line 1: the key b is also in line 1", "a: {b: 1}"),
    ("a.b: 1", "line 1: DVC reads the key a.b as keys inside one another: write a_b", "a_b: 1"),
    ("grids: {a.b: [1]}", "line 1: unknown key 'grids': did you mean 'grid'?", "grid: {a.b: [1]}"),
    ("1: a", 'line 1: the key 1 is no text: write "1"', '"1": a'),
    ("[a]: 1", "line 1: a key is one name, no list and no mapping", "a: 1"),
    ("a: !!str 1", "line 1: the tag !str is not read alike: leave it out", "a: 1"),
    ("a: !!set {b}", "line 1: the tag !set is not read alike: leave it out", "a: {b}"),
    ("a: &a [*a]", "line 1: an alias inside what it names has no end: write the value out", "a: &a [1]"),
    ("a: {<<: b}", "line 1: << takes a mapping or a list of mappings, such as <<: *name", "b: &b {}\na: {<<: *b}"),
    ("a: &a\nb: {<<: [*a]}", "line 1: a is empty, and << merges it: write `a: &a {}`", "a: &a {}\nb: {<<: [*a]}"),
    ("b: {<<: *a}", "marked &a, and nothing is: write `a: &a {}` above it", "a: &a {}\nb: {<<: *a}"),
    ("a: [", "line 1: not YAML: expected the node content", "a: []"),
    ("a: 1\n b: 2", "line 2: not YAML: mapping values are not allowed here", "a: 1\nb: 2"),
    ("a: 1\n---\na: 2", "line 2: not YAML: but found another document", "a: 1"),
    ("a: \x07", "not YAML: unacceptable character #x0007", "a: 1"),
    ("a: " + 2000 * "[", "nested too deep to be read", "a: []"),
    ("a: 1\nb: [c:]", "line 2: DVC cannot read it: found unexpected ':'; quote the text", 'a: 1\nb: ["c:"]'),
    ("- a", "expected a mapping, lines such as `key: value`", "a: 1"),
    ("", "expected a mapping", "a: 1"),
]


@pytest.mark.parametrize(("text", "line", "fixed"), REFUSED, ids=[repr(text[:20]) for text, _, _ in REFUSED])
def test_what_the_parsers_read_differently_is_one_line_and_the_fix_is_read(path, text, line, fixed):
    with pytest.raises(ConfigError) as caught:
        yaml_file.read(written(path, text))
    assert str(caught.value).startswith("params.yaml: ") and line in str(caught.value)
    assert str(caught.value).isprintable()
    assert repr(yaml_file.read(written(path, fixed))) == repr(load_yaml(path))


@given(SCALAR)
def test_every_way_to_write_a_value_that_a_line_offers_is_read(path, scalar):
    try:
        yaml_file.read(written(path, f"a: {scalar}\n"))
    except ConfigError as error:
        for offer in re.findall(r"(?:write|,(?: or)?) (\S+|\".*\") for the (?:text|number)", str(error)):
            assert repr(yaml_file.read(written(path, f"a: {offer}\n"))) == repr(load_yaml(path))


def test_a_file_that_cannot_be_read_is_one_line(path):
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match=r"^params.yaml: byte 3 is no UTF-8; save the file as UTF-8$"):
        yaml_file.read(path)
    path.with_name("folder.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"^folder.yaml: cannot be read \(Is a directory\)$"):
        yaml_file.read(path.with_name("folder.yaml"))
    with pytest.raises(ConfigError, match=r"^none.yaml: there is no such file$"):
        yaml_file.read(path.with_name("none.yaml"))


def test_anchors_merges_and_dotted_keys_where_they_are_allowed_are_read(path):
    text = "a: &a {x: 1, y: 2}\nb: &b {x: 3}\nc:\n  <<: [*a, *b]\n  y: 4\nmodel.beta: 1\n"
    found = yaml_file.read(written(path, text), dotted_keys=True)
    assert found == {"a": {"x": 1, "y": 2}, "b": {"x": 3}, "c": {"x": 1, "y": 4}, "model.beta": 1}
