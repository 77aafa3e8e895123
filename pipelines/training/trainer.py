"""Runs one training from its task to its end. Trials of Ray Tune and workers of Ray Train both run it.

A training has four acts:

    1. open_session     open the data and build the model
    2. resume_or_start  load the latest checkpoint of the run log, or start with the model's warm start
    3. step             train, and report every few minibatches
    4. record           write each report to the run log

The caller iterates over the records; to stop the training, stop iterating.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gen_models import checkpoint
from gen_models.contracts import Sampler
from gen_models.engine import Report, Training, fit
from gen_models.errors import CheckpointError, DivergedError
from gen_models.evaluating import evaluating
from gen_models.loader import Batches
from gen_models.noise import Noise
from gen_models.workers import first_worker_says
from pipelines.data.about_rows import about_rows
from pipelines.data.store import Dataset, open_folder
from pipelines.training.initial_model import build_training, warm_start
from pipelines.training.run_log import RunLog
from pipelines.training.task import WORST, Record, Task
from pipelines.training.validation_metrics import ValidationMetrics

RESIDENT_BYTES = 1 << 30  # training rows are kept in memory if they take at most this as float32, else read from disk
SAMPLES = 64  # the number of samples in a report's grid


@dataclass
class Session:
    """The state that the acts of one training share.

    rank, world: this worker's index, and how many workers there are
    best: {"value", "step"} of the best report so far, or {}
    """

    task: Task
    log: RunLog
    rank: int
    world: int
    device: str
    dataset: Dataset
    training: Training
    best: dict[str, Any] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether this worker is the one that writes the run log."""
        return self.rank == 0

    @property
    def keeps_samples(self) -> bool:
        return self.writes and not self.task.is_trial and isinstance(self.training.model, Sampler)


def train(task: Task, *, rank: int = 0, world: int = 1, device: str = "cpu") -> Iterator[Record]:
    """Resume or start a task, and yield a record with the metrics every `task.report_every` minibatches and at
    `task.report_also`.

    rank, world: this worker's index, and how many workers there are; the worker of rank 0 writes the run log, the
    folder `task.folder`

    Raises DivergedError when a loss or a validation metric is not finite.
    """
    log = RunLog(Path(task.folder))
    with log.hold() if rank == 0 else nullcontext():
        session = open_session(task, log, rank, world, device)
        resume_or_start(session)
        measure = ValidationMetrics(session.dataset, task.conf, device)
        for report in step(session):
            yield record(session, report, measure(session.training))


def train_or_diverge(task: Task, *, rank: int = 0, **place: Any) -> Iterator[Record]:
    """Run `train`; if it raises DivergedError, note that in the run log and yield a last record instead of raising.

    The last record has no metrics and the value WORST. place: `world` and `device`, as in `train`
    """
    try:
        yield from train(task, rank=rank, **place)
    except DivergedError as error:
        log = RunLog(Path(task.folder))
        last = log.history()[-1]["step"] if log.history() else 0
        if rank == 0:
            log.diverge(last, str(error))
        yield Record(last, {}, WORST, is_saved=True)


def open_session(task: Task, log: RunLog, rank: int, world: int, device: str) -> Session:
    """Act 1: open and verify the data, and build the model as it is before step 1."""
    torch.set_num_threads(task.conf["threads"])
    dataset = open_folder(Path(task.data))
    return Session(task, log, rank, world, device, dataset, build_training(task.conf, task.seed, device))


def resume_or_start(session: Session) -> None:
    """Act 2: load the latest checkpoint of the run log; if there is none, let the model start from training rows."""
    task, training = session.task, session.training
    session.best = _resume(session)
    if training.step == 0:
        warm_start(training.model, session.dataset, task.seed, session.device)


def step(session: Session) -> Iterator[Report]:
    """Act 3: train up to the last step, and yield a report at each multiple of report_every and at report_also."""
    task, training = session.task, session.training
    rows = _rows(session.dataset, session.device)
    batches = Batches(
        rows,
        task.conf["batch_size"],
        task.seed,
        rank=session.rank,
        world=session.world,
        device=session.device,
        dtype=torch.float64 if session.dataset.manifest["dtype"] == "float64" else torch.float32,
    )
    if session.keeps_samples and training.step == 0:  # the samples before training
        session.log.keep_samples(0, _samples(training, task.seed))
    yield from fit(
        training,
        batches,
        Noise(task.seed, rank=session.rank, world=session.world),
        steps=task.steps,
        horizon=task.horizon,
        report_every=task.report_every,
        report_also=task.report_also,
        **{name: task.conf[name] for name in ("order", "clip_norm", "schedule")},
    )


def record(session: Session, report: Report, measured: dict[str, float]) -> Record:
    """Act 4: write a report to the run log, with samples, the best model, and a checkpoint if one is due.

    measured: the validation metrics. Every worker returns the record; only the worker of rank 0 writes.
    """
    task, training, log = session.task, session.training, session.log
    moves = {f"moves.{name}": float(count) for name, count in report.moves.items()}
    metrics = {**report.terms, **moves, **measured}
    value = metrics[f"validation.{task.conf['metric']}"]
    is_saved = report.step == task.steps or report.step % task.checkpoint_every == 0
    if session.writes:
        is_own = report.step == task.steps or report.step % task.report_every == 0  # and not one of report_also
        if (session.keeps_samples and is_own) or (report.step == task.steps and isinstance(training.model, Sampler)):
            log.keep_samples(report.step, _samples(training, task.seed))
        log.record(report.step, metrics)
        if task.conf["keep"] == "last" or not session.best or value < session.best["value"]:
            session.best = {"value": value, "step": report.step}
            if not task.is_trial:
                about = about_rows(session.dataset, task.conf["data"])
                checkpoint.save_model(log.best, task.conf["model"], training.model, data=about)
        if is_saved:
            notes = {"seed": task.seed, "best": session.best}
            checkpoint.save_training(log.latest, task.conf["model"], training, notes)
    return Record(report.step, metrics, value, is_saved)


def _resume(session: Session) -> dict[str, Any]:
    """Load the latest checkpoint, if there is one, and return {"value", "step"} of the best report so far, or {}.

    The worker of rank 0 tidies the run log and tells the others which step is saved; then all load the same checkpoint.
    """
    task, log, training = session.task, session.log, session.training
    notes = log.resume(training) if session.rank == 0 else {}
    saved = first_worker_says(training.step, session.device)
    if session.rank != 0 and saved:
        notes = checkpoint.load_training(log.latest, training)
    if notes.get("seed", task.seed) != task.seed:
        raise CheckpointError(
            f"{log.latest}: seed {notes['seed']} cannot go on with seed {task.seed}; remove the folder"
        )
    assert training.step == saved, (session.rank, training.step, saved)
    return notes.get("best", {})


def _rows(dataset: Dataset, device: str) -> np.ndarray | torch.Tensor:
    """Return the training rows: on the device if they take at most RESIDENT_BYTES, else memory-mapped from disk."""
    x = dataset.x("train")
    return dataset.rows("train").to(device) if x.size * 4 <= RESIDENT_BYTES else x


def _samples(training: Training, seed: int) -> np.ndarray:
    """Return SAMPLES samples of the model. The noise is fixed, so that the grids of different steps can be compared."""
    model = training.model
    assert isinstance(model, Sampler)
    with evaluating(model):
        return model.sample(SAMPLES, Noise(seed)).cpu().numpy()
