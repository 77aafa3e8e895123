"""The page of runs that are still trained: it fills as results come, whole at every moment, at little cost."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gen_models import files
from pipelines.report import live
from pipelines.report.live import RunState
from tests.test_report import METRICS, Page, png, said

HOSTILE = "<script>alert('x')</script>"
HEAVY = ("torch", "matplotlib", "sklearn", "scipy", "mlflow", "pandas", "pydantic", "ray", "hydra")


def train(folder: Path, step: int, shape: tuple[int, ...] = (16, 1, 8, 8)) -> Path:
    """Append a report to a training's folder, with samples."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    np.save(folder / "samples" / f"step_{step:08d}.npy", np.random.default_rng(step).random(shape))
    with (folder / "history.jsonl").open("a") as file:
        metrics = {"vae.nats": 2.0, "validation.nats": 1000.0 / step, "validation.vae.nats": 3.0}
        file.write(json.dumps({"step": step, "metrics": metrics}) + "\n")
    return folder


def evaluate(folder: Path, **numbers: float) -> Path:
    """What `evaluate` writes, as far as the page reads it."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({**METRICS["vae-a"], **numbers, "data_sha256": "d"}))
    (folder / "samples.png").write_bytes(png(0.5))
    (folder / "anomalies.json").write_text(
        json.dumps([{"auroc": 0.9, "is_default": True}, {"auroc": 0.95, "is_default": False}])
    )
    return folder


def written(folder: Path, *states: RunState) -> Page:
    live.write(folder, states)
    return Page((folder / "index.html").read_text())


def refreshes(page: Page) -> bool:
    return any(attributes.get("http-equiv") == "refresh" for attributes in page.all("meta"))


def test_a_card_fills_from_waiting_to_evaluated(tmp_path):
    state = ("vae-digits", "vae", "digits")
    page = written(tmp_path / "live", RunState(*state, "waiting"))
    assert refreshes(page) and not page.all("img")
    assert "0 of 1 run finished" in said(page)
    assert "vae-digits waiting VAE with a Gaussian decoder. no picture yet" in said(page)

    training = train(tmp_path / "train", 10)
    page = written(tmp_path / "live", RunState(*state, "training 10%", training=training))
    (first,) = page.all("img")
    assert first["alt"] == "Samples of vae-digits at step 10"
    assert "100 nats a row on validation rows at step 10, lower is better" in said(page)
    train(training, 20)
    page = written(tmp_path / "live", RunState(*state, "training 20%", training=training))
    (second,) = page.all("img")
    assert second["alt"] == "Samples of vae-digits at step 20" and second["src"] != first["src"]
    assert page.all("polyline") and refreshes(page)

    done = RunState(*state, "evaluated", is_finished=True, training=training, evaluation=evaluate(tmp_path / "done"))
    page = written(tmp_path / "live", done)
    (third,) = page.all("img")
    assert third["alt"] == "Samples of vae-digits" and not page.all("polyline")
    assert "0.900 AUROC" in said(page) and "≤ 108 nats a row" in said(page)
    assert "1 of 1 run finished" in said(page) and not refreshes(page)
    assert refreshes(written(tmp_path / "live", done, RunState("gmm-digits", "gmm", "digits", "waiting")))


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"modes": 0.0, "modes_known": 8.0, "high_quality": 0.0}, "Collapsed: 0 of 8 modes reached"),
        ({"criterion": float("nan")}, "Diverged: "),
    ],
)
def test_a_run_that_failed_says_so(tmp_path, numbers, sentence):
    evaluation = evaluate(tmp_path / "evaluate", **numbers)
    page = written(tmp_path / "live", RunState("a", "vae", "digits", "evaluated", True, evaluation=evaluation))
    assert sentence in said(page)
    assert [attributes["class"] for attributes in page.all("article")] == ["card failed"]


def test_a_training_that_diverged_says_why(tmp_path):
    training = train(tmp_path / "train", 10)
    with (training / "history.jsonl").open("a") as file:
        file.write(json.dumps({"step": 11, "metrics": {}, "diverged": "the loss is nan"}) + "\n")
    assert "Diverged: the loss is nan." in said(
        written(tmp_path, RunState("a", "vae", "digits", "failed", True, training))
    )


@pytest.mark.parametrize("shape", [(16, 3, 9, 8), (70, 2), (70, 1), (70, 5), (70,), (3, 1, 40, 400)])
def test_samples_of_every_shape_are_drawn(tmp_path, shape):
    page = written(tmp_path, RunState("a", "gmm", "digits", "training", training=train(tmp_path / "train", 1, shape)))
    assert len(page.all("img")) == 1


def test_files_that_are_just_being_written_are_left_out(tmp_path):
    training = train(train(tmp_path / "train", 10), 20)
    newest = training / "samples" / "step_00000020.npy"
    newest.write_bytes(newest.read_bytes()[:200])
    with (training / "history.jsonl").open("a") as file:
        file.write('{"step": 30, "metr')
    evaluation = evaluate(tmp_path / "evaluate")
    (evaluation / "metrics.json").write_text('{"rows"')
    (evaluation / "samples.png").unlink()
    page = written(tmp_path, RunState("a", "vae", "digits", "training", training=training, evaluation=evaluation))
    assert [attributes["alt"] for attributes in page.all("img")] == ["Samples of a at step 10"]
    assert "at step 20" in said(page)
    assert (
        len(written(tmp_path, RunState("a", "vae", "digits", "training", training=tmp_path / "none")).all("article"))
        == 1
    )


def test_a_reader_always_finds_a_whole_page(tmp_path, monkeypatch):
    written(tmp_path, RunState("first", "vae", "digits", "waiting"))
    before, seen = (tmp_path / "index.html").read_bytes(), []
    monkeypatch.setattr(files.os, "fsync", lambda _: seen.append((tmp_path / "index.html").read_bytes()))
    written(tmp_path, RunState("second", "vae", "digits", "waiting"))
    assert seen == [before]
    assert b"second" in (tmp_path / "index.html").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_text_is_never_markup_and_nothing_comes_from_elsewhere(tmp_path):
    page = written(tmp_path, RunState(HOSTILE, "vae", "digits", HOSTILE, training=train(tmp_path / "train", 1)))
    assert page.text.count(HOSTILE) == 2
    assert not page.all("script") and not page.all("link")
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in page.all("img"))


def test_a_refresh_draws_nothing_twice_and_takes_little_time(tmp_path, monkeypatch):
    states = [
        RunState(f"run-{k}", "vae", "digits", "training", training=train(tmp_path / f"train-{k}", 10))
        for k in range(14)
    ]
    states.append(RunState("done", "vae", "digits", "evaluated", True, evaluation=evaluate(tmp_path / "evaluate")))
    drawn = []
    monkeypatch.setattr(live, "sketch", lambda path, alt, draw=live.sketch: drawn.append(path) or draw(path, alt))
    live.write(tmp_path / "live", states)
    assert len(drawn) == 14
    train(tmp_path / "train-0", 20)
    began = time.process_time()
    live.write(tmp_path / "live", states)
    assert time.process_time() - began < 0.3
    assert drawn[14:] == [tmp_path / "train-0" / "samples" / "step_00000020.npy"]


def test_it_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from pathlib import Path; from pipelines.report import live\n"
        "state = live.RunState('a', 'vae', 'digits', 'training', training=Path(sys.argv[1]))\n"
        "live.write(Path(sys.argv[2]), [state])\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(train(tmp_path / "train", 1)), str(tmp_path / "live")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
