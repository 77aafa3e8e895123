"""A prepared row keeps what its owner calls it: an identifier, a path or an index, which leads back to the same row."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.commands.input_rows import read_blocks
from pipelines.config.conf_files import data_conf
from pipelines.data import add_data, prepare
from pipelines.data.about_rows import about_rows
from pipelines.data.store import open_data
from pipelines.evaluation.anomalous_rows import as_people_know
from tests.project import make_project, params_of

ROWS = 120


def numbers() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"amount": rng.normal(size=ROWS).round(3), "age": rng.normal(40, 9, ROWS).round(1)})


def with_ids(folder: Path) -> Path:
    frame = numbers()
    frame.insert(0, "client_id", [f"Müller-{7 * k}" for k in range(ROWS)])
    frame.to_csv(folder / "clients.csv", index=False)
    return folder / "clients.csv"


def without_ids(folder: Path) -> Path:
    numbers().to_parquet(folder / "amounts.parquet")
    return folder / "amounts.parquet"


def array(folder: Path) -> Path:
    np.savez(folder / "rows.npz", x=np.random.default_rng(0).normal(size=(ROWS, 3, 4)).astype(np.float32))
    return folder / "rows.npz"


def images(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for k in range(ROWS):
        path = folder / "photos" / ("dark" if k % 2 else "bright") / f"é {k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8)).astype(np.uint8)).save(path)
    return folder / "photos"


FILES = {with_ids: ["client_id", "row"], without_ids: ["row"], array: ["row"], images: ["path"]}


@pytest.mark.parametrize(("write", "columns"), FILES.items())
def test_the_name_of_a_prepared_row_leads_to_the_same_row_of_the_file(tmp_path, monkeypatch, write, columns):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(make_project(tmp_path / "project", params_of({}))))
    path = write(tmp_path)
    add_data.main(["own", str(path)])
    prepare.main(["own"])
    data = open_data("own")
    facts = {"event_shape": data.event_shape, "levels": data.levels, **about_rows(data, data_conf("own"))}
    there: dict[tuple[str, ...], np.ndarray] = {}
    for block in read_blocks(path, facts):  # as `score` reads and names them
        names = zip(*block.ids.values(), strict=True) if block.ids else ((str(name),) for name in block.names)
        there |= dict(zip(names, block.x, strict=True))
    assert len(there) == ROWS
    found = []
    for split in data.splits:
        x = data.rows(split).numpy()
        named = data.names(split, range(len(x)))
        assert list(named) == columns
        names = [(name,) for name in named[columns[0]]]
        for name, row in zip(names, x, strict=True):
            np.testing.assert_allclose(row, there[name].reshape(row.shape), rtol=1e-6)
        found += names
    assert sorted(found) == sorted(there)


def test_a_table_of_test_rows_keeps_columns_of_the_same_name_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(make_project(tmp_path / "project", params_of({}))))
    frame = numbers().rename(columns={"amount": "p", "age": "test_row"})
    frame.insert(0, "score", [f"k{k}" for k in range(ROWS)])
    frame.to_csv(tmp_path / "own.csv", index=False)
    add_data.main(["own", str(tmp_path / "own.csv"), "--id", "score"])
    prepare.main(["own"])
    told = as_people_know(open_data("own"), [2, 0], {"score": [0.5, 0.25], "p": [0.1, 0.2]})
    assert list(told) == ["test_row", "score (data)", "row", "score", "p", "p (data)", "test_row (data)"]
    names = open_data("own").names("test", [2, 0])["score"]
    assert told["score (data)"] == names and told["score"] == [0.5, 0.25]
    assert told["p (data)"] == pytest.approx(frame.set_index("score").loc[names, "p"].tolist())
