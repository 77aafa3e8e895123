"""Files that are easily read wrongly in silence: each is asked about, or read as it is meant."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_models.errors import GenModelsError
from pipelines.data import add_data, prepare
from pipelines.data.sources.image_masks import read_mask
from pipelines.data.store import open_data
from pipelines.lineage import facts
from tests.project import make_project, params_of

ROWS = 60


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    root = make_project(tmp_path / "project", params_of({}))
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    return root


def written(folder: Path, lines: list[str], name: str = "own.csv") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def added(path: Path, *words: str) -> dict[str, np.ndarray]:
    """{column: its numbers, sorted} of a file that was added and prepared."""
    add_data.main(["own", str(path), *words])
    prepare.main(["own"])
    data = open_data("own")
    x = np.concatenate([data.rows(split).numpy() for split in data.splits])
    return {name: np.sort(x[:, k]) for k, name in enumerate(data.manifest["columns"])}


def dotted(folder: Path) -> Path:
    rows = [f"{k},5;{1 + k % 9}.{100 + k}" for k in range(ROWS)]
    return written(folder, ["rate;salary", *rows])


def test_points_beside_decimal_commas_may_be_thousands_and_are_asked_about(tmp_path):
    with pytest.raises(
        GenModelsError, match=r"'1\.1\d\d' may be 11\d\d or 1\.1.*beside the decimal commas of rate; say"
    ):
        added(dotted(tmp_path))
    salaries = sorted(1000 * (1 + k % 9) + 100 + k for k in range(ROWS))
    assert added(dotted(tmp_path), "--thousands", ".")["salary"].tolist() == salaries
    found = added(dotted(tmp_path), "--thousands", "none", "--force")["salary"]
    assert found.tolist() == pytest.approx([salary / 1000 for salary in salaries])


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u202f", "'"])
def test_blanks_between_thousands_are_found_also_beside_decimal_commas(tmp_path, blank):
    prices = [1000 + 37 * k + 0.5 for k in range(ROWS)]
    cells = [f"{price:,.2f}".replace(",", blank).replace(".", ",") for price in prices]
    found = added(written(tmp_path, ["price;age", *(f"{cell};{20 + 7 * k % 50}" for k, cell in enumerate(cells))]))
    assert found["price"].tolist() == prices and found["age"].min() == 20


def test_a_first_line_of_data_is_no_header(tmp_path):
    rng = np.random.default_rng(0)
    lines = [",".join([*(f"{x:.3f}" for x in rng.normal(5, 1, 4)), f"kind-{k % 3}"]) for k in range(ROWS)]
    with pytest.raises(GenModelsError, match=r"line 1: .* may be data or the names of the columns; say --no-header"):
        added(written(tmp_path, lines))
    assert len(added(written(tmp_path, lines), "--no-header")["c1"]) == ROWS
    assert len(added(written(tmp_path, lines), "--header", "--force")) == 4, "the first line is taken at its word"
    twice = [lines[0].replace(lines[0].split(",")[1], lines[0].split(",")[0]), *lines[1:]]
    with pytest.raises(GenModelsError, match=r"two columns are named .* or say --no-header if the line holds data"):
        added(written(tmp_path, twice, "twice.csv"), "--force")
    years = ["place,2021,2022,2023", *(f"p{k % 4},{k},{2 * k},{3 * k % 7}" for k in range(ROWS))]
    assert len(added(written(tmp_path, years, "years.csv"), "--force")["2022"]) == ROWS, "years may be a header"


def test_the_labels_of_an_npz_never_become_a_feature(tmp_path):
    x = np.random.default_rng(0).normal(size=(ROWS, 3))
    np.savez(tmp_path / "own.npz", X=x, y=np.arange(ROWS))
    with pytest.raises(GenModelsError, match=r"'y' has too many values for labels; say --ignore y .* or --label none"):
        added(tmp_path / "own.npz")
    assert set(added(tmp_path / "own.npz", "--ignore", "y")) == {"x[0]", "x[1]", "x[2]"}
    np.savez(tmp_path / "own.npz", X=x, y=np.array([b"good", b"bad"] * (ROWS // 2)))
    assert set(added(tmp_path / "own.npz", "--force")) == {"x[0]", "x[1]", "x[2]"}
    assert open_data("own").manifest["classes"] == ["bad", "good"]


def test_labels_that_differ_in_capitals_only_are_asked_about(tmp_path):
    lines = [f"{k % 17},{('No', 'no', 'Yes')[k % 3]}" for k in range(ROWS)]
    with pytest.raises(
        GenModelsError, match=r"the labels '[Nn]o' and '[Nn]o' differ in capitals only; spell them alike"
    ):
        added(written(tmp_path, ["amount,is_fraud", *lines]))


@pytest.mark.parametrize(("option", "message"), [("missing: [-999]", "missing"), ("missing: NV", "missing")])
def test_words_for_missing_values_are_a_list_of_words(tmp_path, project, option, message):
    path = written(tmp_path, ["a,b", *(f"{k},{k % 7}" for k in range(ROWS))])
    add_data.main(["own", str(path)])
    conf = project / "conf" / "data" / "own.yaml"
    conf.write_text(conf.read_text().replace("options: {", f"options: {{{option}, "))
    with pytest.raises(GenModelsError, match=rf"options\.{message}: .* is not a list of words; write missing: "):
        prepare.main(["own"])


def test_small_labels_in_a_mask_of_16_bits_are_defects(tmp_path):
    labels = np.zeros((6, 6), dtype=np.uint16)
    labels[2:4, 1:3] = [[1, 2], [128, 300]]
    Image.fromarray(labels).save(tmp_path / "mask.png")
    mask, _ = read_mask(tmp_path / "mask.png", tmp_path / "image.png", (6, 6), None)
    np.testing.assert_array_equal(mask, labels > 0)


def test_an_edit_of_how_a_model_is_trained_or_reads_new_rows_is_an_edit_of_the_data(tmp_path, project):
    x = np.random.default_rng(0).integers(0, 256, (ROWS, 8, 8), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    for k, pixels in enumerate(x):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{k}.png")
    add_data.main(["own", str(tmp_path / "photos")])
    conf = project / "conf" / "data" / "own.yaml"
    text, hashes = conf.read_text(), set()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "photos")
    for before, after in (
        ("name: own", "name: own"),
        ("options: {", "options: {size: [8, 8], "),
        ("batch_size: 8", "batch_size: 4"),
    ):
        assert before in text
        conf.write_text(text.replace(before, after))
        prepare.main(["own"])
        hashes.add(open_data("own").sha256)
    assert len(hashes) == 3
    conf.write_text(text.replace("photos", "elsewhere"))
    prepare.main(["own"])
    assert open_data("own").sha256 in hashes, "where a file lies decides nothing"
    one, other = ({"data": {"options": {"path": place, "size": [8, 8]}}, "model": 1} for place in ("a", "b"))
    assert facts.deciding(one) == facts.deciding(other) == {"data": {"options": {"size": [8, 8]}}, "model": 1}
