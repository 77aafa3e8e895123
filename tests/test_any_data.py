"""From a file to a registered model: inspect, add-data, params.yaml and `dvc repro`, on own data and on MNIST."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_iris

from pipelines.data.sources import mnist
from tests.project import call, candidates, make_project, params_of, write_params

BUDGET = {"steps": 60, "trial_steps": 20, "trials": 2, "reports": 2, "checkpoints": 1}


def own_data(folder: Path) -> dict[str, Path]:
    """{name: path}: PNGs in folders of classes, a CSV and a Parquet table."""
    rng = np.random.default_rng(0)
    for k in range(200):
        path = folder / "shapes" / ("bright" if k % 2 else "dark") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(128 * (k % 2), 128 + 128 * (k % 2), (8, 8)).astype(np.uint8)).save(path)
    iris = load_iris(as_frame=True).frame
    iris.to_csv(folder / "flowers.csv", index=False)
    pq.write_table(pa.Table.from_pandas(iris, preserve_index=False), folder / "blossoms.parquet")
    return {"shapes": folder / "shapes", "flowers": folder / "flowers.csv", "blossoms": folder / "blossoms.parquet"}


def repro(project: Path, lines: dict[str, str]) -> None:
    """`dvc repro` of these, and a version of each in the registry."""
    write_params(project, params_of({f"{model}-{data}": (model, data) for data, model in lines.items()}))
    done = call(project, "dvc", "repro")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for data, model in lines.items():
        assert candidates(project)[f"{model}-{data}"] == "1"
        metrics = json.loads((project / "out" / "evaluate" / f"{model}-{data}" / "metrics.json").read_text())
        assert np.isfinite(metrics["nats"])
    again = call(project, "dvc", "repro")
    assert "Running stage" not in again.stdout
    assert (project / "reports" / "index.html").is_file()


@pytest.mark.slow
def test_a_folder_of_images_a_csv_and_a_parquet_table_go_all_the_way(tmp_path):
    project = make_project(tmp_path / "project", params_of({}), BUDGET)
    for name, path in own_data(tmp_path / "own data").items():
        for command in (("inspect", str(path)), ("add-data", name, str(path))):
            done = call(project, "gen-models", *command)
            assert done.returncode == 0, done.stderr
            assert "sha256" in done.stdout and "data: [..., " in done.stdout
    repro(project, {"shapes": "vae", "flowers": "gmm", "blossoms": "gmm"})
    # the same table in another file: the same rows, in the same split
    data = [json.loads((project / "out" / "data" / n / "manifest.json").read_text()) for n in ("flowers", "blossoms")]
    assert data[0]["splits"] == data[1]["splits"]
    # predict takes the table's columns by name, the label among them left aside
    done = call(project, "gen-models", "predict", "gmm-flowers", str(tmp_path / "own data" / "flowers.csv"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 151


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_and_its_kin_go_all_the_way_where_they_are_found(name, tmp_path, monkeypatch):
    monkeypatch.delenv("GEN_MODELS_ROOT", raising=False)
    collection = {"mnist": mnist.MNIST, "fashion_mnist": mnist.FASHION_MNIST}[name]
    files = {file: mnist.find(collection, file, None) for file in mnist.BYTES}
    if None in files.values():
        pytest.skip(f"{name}: set {mnist.VARIABLE} to the folder of its four files")
    folder = next(path.parent for path in files.values() if path is not None)
    project = make_project(tmp_path / "project", params_of({}), BUDGET)
    done = call(project, "gen-models", "inspect", str(folder))
    assert done.returncode == 0, done.stderr
    assert f"conf/data/{name}.yaml" in done.stdout and "60000 train, 10000 test" in done.stdout
    conf = project / "conf" / "data" / f"{name}.yaml"
    text = conf.read_text()
    assert "options: {}" in text
    conf.write_text(text.replace("options: {}", f"options: {{folder: {folder}}}"))
    repro(project, {name: "vae"})
    manifest = json.loads((project / "out" / "data" / name / "manifest.json").read_text())
    assert {split: entry["rows"] for split, entry in manifest["splits"].items()} == {
        "train": 54_000,
        "validation": 6_000,
        "test": 10_000,
    }
