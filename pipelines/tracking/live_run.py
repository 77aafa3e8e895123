"""Records a training in progress; if the store fails, the training continues."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gen_models.errors import first_line
from pipelines.tracking.mlflow_run import MlflowRun, Picture, folder_sha256
from pipelines.tracking.mlflow_store import FAILURES, shown_uri, translated

PAUSE_SECONDS = 60.0  # after a failure, before a training asks the store again


class Recorder:
    """Records a run while it is trained. When the store fails, each method returns False and the training continues.

    What the store has missed is kept in memory, and is sent again after a pause and at the end. It is also in the run
    log on disk, where `gen-models register` finds it. StoreError is raised only if the store cannot be opened at the
    start.

    lineage: the content of the training's lineage.json
    """

    def __init__(self, lineage: Mapping[str, Any]):
        with translated():
            self.run = MlflowRun(lineage)
            self.run.begin()
        self._waiting: list[dict[str, Any]] = []
        self._pictures: dict[int, Picture] = {}
        self._not_before = 0.0
        self._has_warned = False

    @property
    def run_id(self) -> str:
        return self.run.run_id

    def log(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Record the numbers of one report."""
        self._waiting.append({"step": step, "metrics": dict(metrics)})
        return self._deliver()

    def log_samples(self, step: int, picture: Picture) -> bool:
        """Record the picture of one report's samples."""
        self._pictures[step] = picture
        return self._deliver()

    def diverged(self, reason: str) -> bool:
        """Record why the training diverged."""
        return self._attempt(lambda: self.run.tag("diverged", reason))

    def finish(self, status: str, checkpoint: Path | None = None) -> bool:
        """Record all that was not sent yet, the files of the checkpoint, and the status: FINISHED, FAILED or KILLED.

        checkpoint: the folder of the best model, or None for none
        """

        def last() -> None:
            if checkpoint is not None:
                self.run.log_folder(checkpoint, "checkpoint", folder_sha256(checkpoint))
            self.run.end(status)

        self._not_before = 0.0
        return self._deliver() and self._attempt(last)

    def _deliver(self) -> bool:
        if time.monotonic() < self._not_before:
            return False
        return self._attempt(self._send)

    def _send(self) -> None:
        self.run.log(self._waiting)
        self._waiting.clear()
        for step in list(self._pictures):
            self.run.log_samples(step, self._pictures[step])
            del self._pictures[step]

    def _attempt(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except (*FAILURES, OSError) as error:
            self._not_before = time.monotonic() + PAUSE_SECONDS
            if not self._has_warned:
                print(
                    f"warning: {shown_uri()} takes no records ({first_line(error)}); training goes on, "
                    "`gen-models register` logs what is missing",
                    file=sys.stderr,
                )
            self._has_warned = True
            return False
        return True
