"""From nothing to scores by README's commands alone: add-data, what `make repro` runs, and predict on new files."""

import csv
import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

from tests.project import call, make_project, params_of

pytestmark = pytest.mark.slow
BUDGET = {"steps": 60, "trial_steps": 20, "trials": 2, "reports": 2, "checkpoints": 1}


class Case(NamedTuple):
    """Files of a person: written into a folder by `write`, which returns (the training file, new rows, how many)."""

    write: Callable[[Path], tuple[Path, Path, int]]
    words: tuple[str, ...] = ()
    anomalies: tuple[str, ...] = ()


def transactions(folder: Path) -> tuple[Path, Path, int]:
    """A CSV as an office writes it: id, time, a category, decimal commas, missing values and a label of 2%."""
    rng = np.random.default_rng(0)

    def write(path: Path, rows: int, *, label: bool) -> Path:
        head = ["id", "time", "shop", "amount", "items", *(["is_fraud"] if label else [])]
        lines = [head]
        for k in range(rows):
            is_fraud = k % 50 == 7
            amount = f"{rng.gamma(2, 30) * (20 if is_fraud else 1):.2f}".replace(".", ",")
            cells = [1000 + k, f"2024-03-{1 + k % 28:02} {k % 24:02}:15:00", rng.choice(["north", "south", "web"])]
            lines.append([*cells, "" if k % 17 == 3 else amount, 1 + k % 5, *([int(is_fraud)] if label else [])])
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file, delimiter=";").writerows(lines)
        return path

    return write(folder / "march.csv", 1000, label=True), write(folder / "APRIL.CSV", 60, label=False), 60


def parts(folder: Path) -> tuple[Path, Path, int]:
    """Colour pictures of 64x64: train/good, test/good, test/scratch, test/bent, with masks of the defects."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]

    def save(path: Path, pixels: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)

    for part, kind, count in (
        ("train", "good", 60),
        ("test", "good", 15),
        ("test", "scratch", 10),
        ("test", "bent", 10),
    ):
        for k in range(count):
            round_ = 60 + 120 * np.exp(-((x - 32 - rng.normal()) ** 2 + (y - 32) ** 2) / 240)
            mask = np.zeros((64, 64))
            if kind == "scratch":
                mask[20 + k : 22 + k, 8:56] = 255
                round_ = np.where(mask > 0, 240, round_)
            if kind == "bent":
                round_, mask[:, :24] = np.roll(round_, 15, axis=1), 255
            colours = np.stack([round_, 0.8 * round_, 0.5 * round_], axis=-1) + rng.normal(0, 4, (64, 64, 3))
            save(folder / "parts" / part / kind / f"{k:03}.png", colours)
            if kind != "good":
                save(folder / "parts" / "ground_truth" / kind / f"{k:03}_mask.png", mask)
            if part == "test":
                save(folder / "new" / f"{kind}{k}.jpg", colours)
    return folder / "parts", folder / "new", 35


def embeddings(folder: Path) -> tuple[Path, Path, int]:
    """A Parquet file of embeddings in a column of lists, without labels."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 16)) + 0.1 * rng.normal(size=(400, 16))
    frame = pd.DataFrame({"key": [f"k{k}" for k in range(400)], "embedding": list(x.astype(np.float32))})
    frame.to_parquet(folder / "all.parquet")
    frame.tail(30).to_parquet(folder / "new.parquet")
    return folder / "all.parquet", folder / "new.parquet", 30


def benchmark(folder: Path) -> tuple[Path, Path, int]:
    """An .npz of X and y, as benchmarks of anomaly detection have them."""
    bundle = load_breast_cancer()
    y = 1 - bundle.target
    np.savez(folder / "4_breast.npz", X=bundle.data, y=y)
    np.save(folder / "new.npy", bundle.data[:20])
    return folder / "4_breast.npz", folder / "new.npy", 20


def idx(folder: Path) -> tuple[Path, Path, int]:
    """Images and labels in the format of MNIST, packed."""
    bundle = load_digits()
    images = bundle.images.astype(np.uint8)

    def write(name: str, array: np.ndarray) -> Path:
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / name).write_bytes(gzip.compress(head + array.tobytes()))
        return folder / name

    write("train-labels-idx1-ubyte.gz", bundle.target.astype(np.uint8))
    return write("train-images-idx3-ubyte.gz", images), write("new-images-idx3-ubyte.gz", images[:25]), 25


CASES = {
    "transactions": Case(transactions, anomalies=("1",)),
    "pictures": Case(parts, anomalies=("bent", "scratch")),
    "embeddings": Case(embeddings),
    "npz": Case(benchmark, ("--anomaly", "1"), ("1",)),
    "idx": Case(idx),
}


def decide(project: Path, run: str, new: Path, rows: int, case: Case) -> None:
    """Decide on the new rows at a rate that the calibration rows allow, and compare them with the calibration rows."""
    done = call(project, "gen-models", "score", run, str(new), "--fpr", "0.1", "--out", "decided.csv")
    assert done.returncode == 0, done.stderr
    decided = pd.read_csv(project / "decided.csv", keep_default_na=False)
    assert len(decided) == rows and set(decided["decision"]) <= {"anomaly", "normal"}
    assert ((decided["p"] <= 0.1) == (decided["decision"] == "anomaly")).all()
    called = decided[decided["decision"] == "anomaly"]
    assert (called["reason"] != "").all() and (project / "decided.png").is_file()
    if case is CASES["transactions"]:
        assert decided.sort_values("rank").iloc[0]["reason"].startswith("amount ")
    if case is CASES["pictures"]:
        assert {path.partition("/")[0][:4] for path in called["path"][:5]} <= {"bent", "scra"}
    done = call(project, "gen-models", "drift", run, str(new))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_trained_on_and_new_rows_are_scored(name, tmp_path):
    case = CASES[name]
    (tmp_path / "files").mkdir()
    path, new, rows = case.write(tmp_path / "files")
    project = make_project(tmp_path / "project", {**params_of({}), "data": []}, BUDGET)
    for command in (
        ("gen-models", "inspect", str(path)),
        ("gen-models", "add-data", "mine", str(path), *case.words),
        ("gen-models", "check"),
        ("gen-models", "play"),
        ("dvc", "repro"),
    ):
        done = call(project, *command)
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-3000:])
        assert "Traceback" not in done.stdout + done.stderr
    manifest = json.loads((project / "out" / "data" / "mine" / "manifest.json").read_text())
    assert [manifest["classes"][k] for k in manifest["anomaly"] or []] == list(case.anomalies)
    runs = sorted(folder.name for folder in (project / "out" / "train").iterdir())
    assert runs
    for run in runs:
        version = f"{run}@candidate"  # a model of so few steps may have collapsed, and is then no champion
        done = call(project, "gen-models", "predict", version, str(new))
        assert done.returncode == 0, done.stderr
        scores = pd.read_csv(io.StringIO(done.stdout), keep_default_na=False)
        assert len(scores) == rows
        assert (scores["problem"] == "").all()
        assert np.isfinite(scores.iloc[:, -2].astype(float)).all()
        decide(project, version, new, rows, case)
    if case.anomalies:
        found = json.loads((project / "out" / "compare" / "anomalies" / "scores.json").read_text())
        kinds = [row["kinds"] for row in found if row["run"] in runs]
        assert max(row["auroc"] for row in found if row["run"] in runs) > 0.6
        if name == "pictures":
            assert max(row.get("pixel_auroc", 0) for row in found) > 0.6
        assert all(len(of) == (len(case.anomalies) if len(case.anomalies) > 1 else 0) for of in kinds)
    page = (project / "reports" / "index.html").read_text()
    assert all(run in page for run in runs)
