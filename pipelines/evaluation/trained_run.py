"""Opens a run's trained model and the data that it was trained on, which evaluation starts from."""

from dataclasses import dataclass
from typing import Any

from gen_models.checkpoint import load_model
from pipelines.config.params import Run
from pipelines.data.store import Dataset, open_data
from pipelines.evaluation.prepared_rows import RowsOf, fix_threads
from pipelines.runtime import paths


@dataclass(frozen=True)
class Trained(RowsOf):
    """A trained run.

    run: its line of params.yaml; model: in evaluation mode; the protocols of gen_models.contracts say what it can do;
    data: the prepared data set
    """

    run: Run
    model: Any
    data: Dataset


def open_trained(run: Run) -> Trained:
    """Open the checkpoint in out/train/KEY and the data of the run, and verify both."""
    fix_threads()
    return Trained(run, load_model(paths.out("train", run.key, "checkpoint")), open_data(run.data))
