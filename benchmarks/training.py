"""Trains a model for a benchmark, with the code of the stages `prepare` and `train`, in its own folder in work/."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gen_models.checkpoint import load_model
from gen_models.errors import DivergedError
from pipelines.config.compose import compose, override
from pipelines.config.conf_files import data_conf
from pipelines.config.params import Run
from pipelines.data.prepare import prepare
from pipelines.data.store import Dataset, open_folder
from pipelines.evaluation.trained_run import Trained
from pipelines.runtime import paths
from pipelines.runtime.progress import Progress
from pipelines.training.task import task_of
from pipelines.training.trainer import train_or_diverge

SEED_OF_DATA = 0


@dataclass(frozen=True)
class Played:
    """A trained model with its data, the seconds that its training took, and the rows of a minibatch."""

    trained: Trained
    seconds: float
    batch_size: int


def data(name: str, **changes: Any) -> Dataset:
    """Prepare a data set as the stage `prepare` does, and open it. changes: values for keys of its conf

    Raises DataError if the data cannot be read.
    """
    folder = _data_folder(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prepare(folder, name, {**data_conf(name), **changes}, SEED_OF_DATA)
    return open_folder(folder)


def play(model: str, dataset: Dataset, settings: Mapping[str, Any], *, steps: int, seed: int = 0) -> Played:
    """Train conf/model/MODEL.yaml with the settings {dotted key: value}, for the given number of minibatches.

    Raises DivergedError if the training diverges.
    """
    name = dataset.name
    conf = override(compose(model, name, "quick"), settings)
    folder = paths.work("figures", f"{model}-{name}-{seed}")
    shutil.rmtree(folder, ignore_errors=True)
    task = task_of(conf, _data_folder(name), seed=seed, steps=steps, folder=folder, is_trial=False)
    began, progress = time.monotonic(), Progress(f"{model} on {name}, seed {seed}", steps, "step")
    for record in train_or_diverge(task):
        if not record.metrics:
            raise DivergedError(f"{model} on {name} diverged after step {record.step}; see {folder / 'history.jsonl'}")
        progress.show(record.step, f"validation {conf['metric']} {record.value:.5g}")
    progress.close()
    seconds = time.monotonic() - began
    run = Run(f"{model}-{name}", model, name, f"{model}-{name}")
    torch.set_num_threads(2)
    return Played(Trained(run, load_model(folder / "checkpoint"), dataset, folder), seconds, conf["batch_size"])


def _data_folder(name: str) -> Path:
    return paths.work("figures", "data", name)
