"""A figure's training: the stages' own prepare and play, in a folder of its own, from data to the best checkpoint."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gen_models.checkpoint import load_model
from gen_models.errors import DivergedError
from pipelines import config
from pipelines.config import Run
from pipelines.data.prepare import prepare
from pipelines.data.store import Dataset, open_folder
from pipelines.evaluation.trained_run import Trained
from pipelines.runtime import paths
from pipelines.runtime.progress import Progress
from pipelines.training.trainer import play_to_the_end, task_of

SEED_OF_DATA = 0
INPUTS = (  # what every training runs on
    *(f"gen_models/{name}.py" for name in ("build", "checkpoint", "contracts", "engine", "likelihood", "loader")),
    *(f"gen_models/{name}.py" for name in ("noise", "schedules", "workers")),
    *(f"gen_models/layers/{name}.py" for name in ("arguments", "data_scale", "mlp")),
    *(f"gen_models/{name}.py" for name in ("evaluating", "measures/units", "measures/validation")),
    *(f"pipelines/{name}.py" for name in ("training/run_log", "training/trainer", "data/prepare", "data/store")),
    "pipelines/evaluation/trained_run.py",
    "pipelines/data/sources",
    "conf/config.yaml",
    "conf/budget/quick.yaml",
    "benchmarks/training.py",
)


@dataclass(frozen=True)
class Played:
    """A trained model beside its data, and the seconds from the first minibatch to the last report."""

    trained: Trained
    seconds: float
    batch_size: int


def data(name: str, **changes: Any) -> Dataset:
    """A data set as its stage prepares it, with changes of its conf's keys. Raises DataError where it cannot be had."""
    folder = _data_folder(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prepare(folder, name, {**config.data_conf(name), **changes}, SEED_OF_DATA)
    return open_folder(folder)


def play(model: str, dataset: Dataset, settings: Mapping[str, Any], *, steps: int, seed: int = 0) -> Played:
    """Train conf/model/MODEL.yaml with {dotted key: value} in place of its own, for so many minibatches."""
    name = dataset.name
    conf = config.override(config.compose(model, name, "quick"), settings)
    folder = paths.work("figures", f"{model}-{name}-{seed}")
    shutil.rmtree(folder, ignore_errors=True)
    task = task_of(conf, _data_folder(name), seed=seed, steps=steps, folder=folder, is_trial=False)
    began, progress = time.monotonic(), Progress(f"{model} on {name}, seed {seed}", steps, "step")
    for record in play_to_the_end(task):
        if not record.metrics:
            raise DivergedError(f"{model} on {name} diverged after step {record.step}; see {folder / 'history.jsonl'}")
        progress.show(record.step, f"validation {conf['metric']} {record.value:.5g}")
    progress.close()
    seconds = time.monotonic() - began
    run = Run(f"{model}-{name}", model, "", name, None)
    torch.set_num_threads(2)
    return Played(Trained(run, load_model(folder / "best"), dataset), seconds, conf["batch_size"])


def _data_folder(name: str) -> Path:
    return paths.work("figures", "data", name)
