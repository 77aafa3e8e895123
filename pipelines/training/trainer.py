"""One training from its task to its end: what a Tune trial and a Train worker both run.

A task is plain data, so that any process can play it. What it writes is in its ledger; who iterates it
reports onwards and stops it by no longer iterating.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from math import ceil, isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gen_models import checkpoint
from gen_models.build import build_model, build_optimisers
from gen_models.contracts import Sampler, WarmStart, objectives_of
from gen_models.engine import Report, Training, fit
from gen_models.errors import CheckpointError, DivergedError
from gen_models.evaluating import evaluating
from gen_models.loader import Batches
from gen_models.measures.samples import median_bandwidth
from gen_models.measures.units import unit_scale
from gen_models.measures.validation import validation
from gen_models.noise import Noise
from gen_models.workers import first_worker_says
from pipelines.data.store import Dataset, open_folder
from pipelines.training.run_log import Ledger

WARM_ROWS = 10_000  # rows that a data-dependent start sees
BANDWIDTH_ROWS = 2_000  # of the training rows, for the kernel of mmd
SOME_BYTES = 32 << 20  # of rows in memory at once for a start, a bandwidth, a validation: they need not be all
RESIDENT_BYTES = 1 << 30  # as float32
SAMPLES = 64  # draws of a report's sample grid
WORST = 1e30  # what a scheduler is told of a diverged trial: finite, and above every metric


@dataclass(frozen=True)
class Task:
    """All that decides a training, and the folder of its ledger: plain data with absolute paths, for any process."""

    conf: dict[str, Any]
    data: str
    seed: int
    steps: int
    horizon: int  # of the schedule: the steps that were planned, of which a scheduler may grant fewer
    report_every: int
    checkpoint_every: int
    folder: str
    is_trial: bool  # a trial hands nothing on: its ledger keeps no samples and no best model

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Record:
    """A report with its validation metrics, after both are in the ledger."""

    step: int
    metrics: dict[str, float]
    value: float
    is_saved: bool


def task_of(conf: Mapping[str, Any], data: Path, *, seed: int, steps: int, folder: Path, is_trial: bool) -> Task:
    """The task of a configuration; reports and checkpoints are spread evenly over its steps."""
    report_every = ceil(steps / conf["budget"]["reports"])
    checkpoint_every = report_every * max(1, conf["budget"]["reports"] // conf["budget"]["checkpoints"])
    return Task(dict(conf), str(data), seed, steps, steps, report_every, checkpoint_every, str(folder), is_trial)


def play(task: Task, *, rank: int = 0, world: int = 1, device: str = "cpu") -> Iterator[Record]:
    """Resume or begin the task, and yield a record at each report; rank 0 writes the ledger."""
    ledger = Ledger(Path(task.folder))
    with ledger.hold() if rank == 0 else nullcontext():
        yield from _play(task, ledger, rank, world, device)


def _play(task: Task, ledger: Ledger, rank: int, world: int, device: str) -> Iterator[Record]:
    torch.set_num_threads(task.conf["threads"])
    conf, dataset = task.conf, open_folder(Path(task.data))
    training = build_training(conf, task.seed, device)
    best = _resume(ledger, training, task.seed, rank, device)
    model = training.model
    if training.step == 0 and isinstance(model, WarmStart):
        with torch.no_grad():
            model.warm_start(some(dataset, "train", WARM_ROWS).to(device), Noise(task.seed))
    batches = Batches(_source(dataset, device), conf["batch_size"], task.seed, rank=rank, world=world, device=device)
    check = Validation(dataset, conf["metric"], device)
    draws = rank == 0 and not task.is_trial and isinstance(model, Sampler)
    if draws and training.step == 0:  # what training begins with
        ledger.keep_samples(0, _samples(training, task.seed))
    noise = Noise(task.seed, rank=rank, world=world)
    options = {name: conf[name] for name in ("order", "clip_norm", "schedule")}
    reports = fit(
        training,
        batches,
        noise,
        steps=task.steps,
        horizon=task.horizon,
        report_every=task.report_every,
        **options,
    )
    for report in reports:
        metrics = {**report.terms, **_moves(report), **check(training)}
        value = metrics[f"validation.{conf['metric']}"]
        is_saved = report.step == task.steps or report.step % task.checkpoint_every == 0
        if rank == 0:
            if draws:
                ledger.keep_samples(report.step, _samples(training, task.seed))
            ledger.record(report.step, metrics)
            if conf["keep"] == "last" or not best or value < best["value"]:
                best = {"value": value, "step": report.step}
                if not task.is_trial:
                    checkpoint.save_model(ledger.best, conf["model"], model)
            if is_saved:
                checkpoint.save_training(ledger.latest, conf["model"], training, {"seed": task.seed, "best": best})
        yield Record(report.step, metrics, value, is_saved)


def build_training(conf: Mapping[str, Any], seed: int, device: str = "cpu") -> Training:
    """A configuration's model and optimisers before step 1. Raises ConfigError for what cannot be built."""
    model = build_model(conf["model"], seed).to(device)
    return Training(model, build_optimisers(conf["optim"], model))


def play_to_the_end(task: Task, *, rank: int = 0, **place: Any) -> Iterator[Record]:
    """`play`, where a loss that is not finite ends the training as diverged instead of raising."""
    try:
        yield from play(task, rank=rank, **place)
    except DivergedError as error:
        ledger = Ledger(Path(task.folder))
        last = ledger.history()[-1]["step"] if ledger.history() else 0
        if rank == 0:
            ledger.diverge(last, str(error))
        yield Record(last, {}, WORST, is_saved=True)


def _resume(ledger: Ledger, training: Training, seed: int, rank: int, device: str) -> dict[str, Any]:
    """The best so far. Rank 0 brings the ledger in order and says where to go on; the others read what it read."""
    notes = ledger.resume(training) if rank == 0 else {}
    step = first_worker_says(training.step, device)
    if rank != 0 and step:
        notes = checkpoint.load_training(ledger.latest, training)
    if notes.get("seed", seed) != seed:
        raise CheckpointError(f"{ledger.latest}: seed {notes['seed']} cannot go on with seed {seed}; remove the folder")
    assert training.step == step, (rank, training.step, step)
    return notes.get("best", {})


class Validation:
    """The metric of the conf, and each objective's terms, on validation data: what can be compared and plotted."""

    def __init__(self, dataset: Dataset, metric: str, device: str):
        self._metric = metric
        self._rows = some(dataset, "validation").to(device)
        self._units = {"levels": dataset.levels, "statistics": dataset.manifest["statistics"]}
        train = unit_scale(some(dataset, "train", BANDWIDTH_ROWS).to(device), **self._units)
        self._bandwidth = median_bandwidth(train)

    def __call__(self, training: Training) -> dict[str, float]:
        model = training.model
        found = validation(
            model, self._rows, noise=Noise(0), metrics=[self._metric], bandwidth=self._bandwidth, **self._units
        )
        with evaluating(model):
            for objective in objectives_of(model):
                terms = objective.loss(self._rows, Noise(0)).terms
                found |= {f"{objective.name}.{name}": term.item() for name, term in terms.items()}
        for name, value in found.items():
            if not isfinite(value):
                raise DivergedError(f"step {training.step}: validation {name} is {value}; lower the learning rates")
        return {f"validation.{name}": value for name, value in found.items()}


def some(dataset: Dataset, split: str, most: int | None = None) -> torch.Tensor:
    """The first rows of a split, a fair draw: at most so many, and no more than SOME_BYTES hold."""
    fit = max(SOME_BYTES // (4 * prod(dataset.event_shape)), 1)
    return dataset.rows(split, fit if most is None else min(most, fit))


def _source(dataset: Dataset, device: str) -> np.ndarray | torch.Tensor:
    """The training rows on the device if they are few, else mapped from disk."""
    x = dataset.x("train")
    return dataset.rows("train").to(device) if x.size * 4 <= RESIDENT_BYTES else x


def _moves(report: Report) -> dict[str, float]:
    return {f"moves.{name}": float(count) for name, count in report.moves.items()}


def _samples(training: Training, seed: int) -> np.ndarray:
    """Draws at a fixed noise, so that grids of different steps compare."""
    model = training.model
    assert isinstance(model, Sampler)
    with evaluating(model):
        return model.sample(SAMPLES, Noise(seed)).cpu().numpy()
