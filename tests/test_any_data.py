"""From a file to a registered model: inspect, add-data, params.yaml and `dvc repro`, on own data and on MNIST."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_iris

from pipelines.data.sources import mnist
from tests.project import call, candidates, make_project, params_of, write_params

SECONDS = 1800  # for the whole graph, on two cores that have other work
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


def repro(project: Path) -> None:
    """`dvc repro` of what params.yaml has, and a version of each run in the registry."""
    done = call(project, "dvc", "repro", seconds=SECONDS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for key in yaml.safe_load((project / "params.yaml").read_text())["runs"]:
        assert candidates(project)[key] == "1"
        metrics = json.loads((project / "out" / "evaluate" / key / "metrics.json").read_text())
        assert np.isfinite(metrics["nats"])
    again = call(project, "dvc", "repro")
    assert "Running stage" not in again.stdout
    assert (project / "reports" / "index.html").is_file()


@pytest.mark.slow
def test_a_folder_of_images_a_csv_and_a_parquet_table_go_all_the_way(tmp_path):
    project = make_project(tmp_path / "project", params_of({}), BUDGET)
    own = own_data(tmp_path / "own data")
    for name, path in own.items():
        for command in (("inspect", str(path)), ("add-data", name, str(path)), ("check",)):
            done = call(project, "gen-models", *command)
            assert done.returncode == 0, done.stdout + done.stderr
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert params["files"] == {name: str(path) for name, path in own.items()}
    assert {run["data"] for run in params["runs"].values()} == set(own)
    first = {run["data"]: key for key, run in reversed(params["runs"].items())}.values()  # one of each, to be quick
    write_params(
        project, {**params, **{part: {key: params[part][key] for key in first} for part in ("sweeps", "runs")}}
    )
    repro(project)
    # the same table in another file: the same rows, in the same split
    data = [json.loads((project / "out" / "data" / n / "manifest.json").read_text()) for n in ("flowers", "blossoms")]
    assert data[0]["splits"] == data[1]["splits"]
    # predict takes the table's columns by name, the label among them left aside
    done = call(project, "gen-models", "predict", "gmm-flowers", str(own["flowers"]))
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header == "nll,problem" and len(rows) == 150
    assert all(np.isfinite(float(score)) and not problem for score, _, problem in (r.partition(",") for r in rows))
    # an edit of the file is seen: it is prepared anew, and what was trained on it is trained anew
    own["flowers"].write_text("".join(own["flowers"].read_text().splitlines(keepends=True)[:-1]))
    stale = call(project, "dvc", "status").stdout
    assert "prepare_files@flowers" in stale and "prepare_files@blossoms" not in stale


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
    write_params(project, params_of({f"vae-{name}": ("vae", name)}))
    repro(project)
    manifest = json.loads((project / "out" / "data" / name / "manifest.json").read_text())
    assert {split: entry["rows"] for split, entry in manifest["splits"].items()} == {
        "train": 52_800,
        "validation": 6_000,
        "calibration": 1_200,
        "test": 10_000,
    }
