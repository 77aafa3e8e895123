"""Opens a run's trained model and the data that it was trained on, which evaluation starts from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gen_models.checkpoint import load_model
from pipelines.config.params import Run
from pipelines.data.store import Dataset, open_folder
from pipelines.evaluation.prepared_rows import RowsOf, fix_threads
from pipelines.runtime import paths


@dataclass(frozen=True)
class Trained(RowsOf):
    """A trained run.

    run: its line of params.yaml; model: in evaluation mode; the protocols of gen_models.contracts say what it can do;
    data: the prepared data set; folder: what the training left, out/train/KEY or the run log in work/
    """

    run: Run
    model: Any
    data: Dataset
    folder: Path


def open_trained(run: Run) -> Trained:
    """Open the checkpoint in out/train/KEY and the data of the run, and verify both."""
    return open_folders(run, paths.out("train", run.key), paths.out("data", run.data))


def open_folders(run: Run, trained: Path, data: Path) -> Trained:
    """Open the checkpoint in a training's folder and the prepared data in another, and verify both."""
    fix_threads()
    return Trained(run, load_model(trained / "checkpoint"), open_folder(data), trained)
