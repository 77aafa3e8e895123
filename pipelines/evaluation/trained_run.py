"""Opens a run's trained model and the data on which it was trained: evaluation starts from these two."""

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

    run     its line of params.yaml
    model   the trained model in evaluation mode; the protocols of gen_models.contracts say what it can do
    data    the prepared data set
    folder  the folder that the training wrote: out/train/KEY, or the run log in work/
    """

    run: Run
    model: Any
    data: Dataset
    folder: Path


def open_trained(run: Run) -> Trained:
    """Open the checkpoint in out/train/KEY and the data in out/data/NAME of a run, and verify the hashes of both."""
    return open_folders(run, paths.out("train", run.key), paths.out("data", run.data))


def open_folders(run: Run, trained: Path, data: Path) -> Trained:
    """Open the checkpoint in the folder `trained` and the prepared data in the folder `data`; verify both hashes."""
    fix_threads()
    return Trained(run, load_model(trained / "checkpoint"), open_folder(data), trained)
