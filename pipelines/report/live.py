"""Writes a page of runs that are still being trained: a card for each, which fills as samples and numbers come.

The process that trains the runs calls `write` as often as it likes; the browser reads the page again every few seconds
until all runs have ended. The module imports no torch and no matplotlib, and a picture is drawn once for each file of
samples.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gen_models.files import replacing
from pipelines.report.as_text import decimal
from pipelines.report.cards import SHOWN, Card, grouped, most_bytes
from pipelines.report.descriptions import description
from pipelines.report.failures import failures
from pipelines.report.jinja_environment import environment
from pipelines.report.key_numbers import KeyNumber, key_numbers
from pipelines.report.sample_sketches import sketch
from pipelines.report.thumbnails import Thumbnail, thumbnail

SECONDS = 5  # between two reads of the page by the browser
VALIDATION = "validation."
UNITS = {  # {a validation metric: what it counts}; another one has its own name
    "nats": "nats a row",
    "nats_iw50": "nats a row",
    "mse": "squared error",
    "mmd": "distance of samples from data (MMD)",
}
CURVE = (100.0, 24.0)  # the width and height of the line of a training


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    word: its state in a few words, such as "waiting", "searching 3 of 8 trials", "training 40%" or "evaluated"
    is_finished: whether nothing more will come; training: a folder with history.jsonl and samples/, if it exists
    evaluation: a folder with the files that `evaluate` writes, if it exists
    """

    key: str
    model: str
    data: str
    word: str
    is_finished: bool = False
    training: Path | None = None
    evaluation: Path | None = None


def write(folder: Path, states: Sequence[RunState]) -> None:
    """Write FOLDER/index.html as a whole, so that a reader never sees half of it.

    If a file of a run is missing or half written, the run's card is drawn without the part that the file would fill.
    """
    cards = [card(state, len(states)) for state in states]
    finished = sum(state.is_finished for state in states)
    html = environment().get_template("live.html").render(
        groups=grouped(cards, {state.data: description("data", state.data) for state in states}),
        runs=len(states),
        finished=finished,
        seconds=None if finished == len(states) else SECONDS,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "index.html") as file:
        file.write(html.encode())


def card(state: RunState, runs: int = 1) -> Card:
    """Return the card of a run in its present state; runs: how many runs the page has."""
    history = _history(state.training)
    diverged = history[-1].get("diverged") if history else None
    told = _told(state.evaluation)
    metrics = {name: value for name, value in told.items() if abs(value) < float("inf")}
    latents = _json(state.evaluation, "latents.json")
    values = _values(history)
    return Card(
        state.key,
        state.model,
        state.data,
        description("model", state.model),
        _picture(state, most_bytes(runs)),
        _numbers(metrics) if metrics else _progress(values),
        failures=failures(
            metrics, latents=latents, not_finite=[name for name in told if name not in metrics], diverged=diverged
        ),
        state=state.word,
        curve="" if metrics else _curve(values[1]),
    )


def _numbers(metrics: Mapping[str, float]) -> list[KeyNumber]:
    is_bound = "bits_per_dim" in metrics or "nats_iw50" in metrics or "binary_nats" in metrics
    return key_numbers(metrics, is_bound=is_bound)


def _told(folder: Path | None) -> dict[str, float]:
    """Return the numbers in metrics.json, with those of the default anomaly score, clusters and denoised rows."""
    metrics = _json(folder, "metrics.json")
    if metrics is None:
        return {}
    told = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    for row in _json(folder, "anomalies.json") or ():
        told |= {"auroc": row["auroc"]} if row.get("is_default") else {}
    for row in _json(folder, "clusters.json") or ():
        told |= {"acc": row["acc_mean"]} if row["space"] == "latent" else {}
    for row in _json(folder, "denoising.json") or ():
        told |= {"denoised": row["denoised"], "wiener": row["wiener"]} if row["factor"] == 1.0 else {}
    return told


def _progress(values: tuple[str, list[tuple[int, float]]]) -> list[KeyNumber]:
    """Return the newest validation metric of a training as the only number of its card."""
    name, points = values
    if not points:
        return []
    step, value = points[-1]
    return [
        KeyNumber(decimal(value, None), UNITS.get(name, name), f"on validation rows at step {step:,}, lower is better")
    ]


def _values(history: Sequence[Mapping[str, Any]]) -> tuple[str, list[tuple[int, float]]]:
    """Return the name of the validation metric, and its (step, value) pairs; the shortest name is the metric's own."""
    names = {name for line in history for name in line["metrics"] if name.startswith(VALIDATION)}
    if not names:
        return "", []
    name = min(names, key=lambda name: (name.count("."), name))
    pairs = [(line["step"], line["metrics"][name]) for line in history if name in line["metrics"]]
    return name.removeprefix(VALIDATION), pairs


def _curve(pairs: Sequence[tuple[int, float]]) -> str:
    """Return (step, value) pairs as the points of an SVG polyline over the steps, the largest value on top."""
    if len(pairs) < 2:
        return ""
    (first, last), values = (pairs[0][0], pairs[-1][0]), [value for _, value in pairs]
    low, high = min(values), max(values)
    width, height = CURVE
    steps = [width * (step - first) / (last - first) for step, _ in pairs]
    heights = [height * (high - value) / ((high - low) or 1.0) for value in values]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(steps, heights, strict=True))


def _picture(state: RunState, most: int) -> Thumbnail | None:
    for name, words in SHOWN.items():
        path = state.evaluation / f"{name}.png" if state.evaluation else None
        if path is not None and path.is_file():
            return _small(path, path.stat().st_mtime_ns, f"{words} of {state.key}", most)
    kept = sorted(state.training.glob("samples/step_*.npy"), reverse=True) if state.training else []
    for path in kept[:2]:  # the newest may just be being written
        step = int(path.stem.removeprefix("step_"))
        if drawn := _sketched(path, path.stat().st_mtime_ns, f"Samples of {state.key} at step {step:,}"):
            return drawn
    return None


@lru_cache(maxsize=256)
def _small(path: Path, modified: int, alt: str, most: int) -> Thumbnail | None:
    try:
        return thumbnail(path.read_bytes(), alt, most_bytes=most)
    except OSError:
        return None


@lru_cache(maxsize=256)
def _sketched(path: Path, modified: int, alt: str) -> Thumbnail | None:
    try:
        return sketch(path, alt)
    except (OSError, ValueError, EOFError):
        return None


def _history(folder: Path | None) -> list[dict[str, Any]]:
    """Return the whole lines of a history; a last line that is being written is left out."""
    try:
        text = (folder / "history.jsonl").read_text() if folder else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    except (OSError, ValueError):
        return []


def _json(folder: Path | None, name: str) -> Any:
    """Return the content of a file, or None if it is not there or not whole."""
    try:
        return json.loads((folder / name).read_text()) if folder else None
    except (OSError, ValueError):
        return None
