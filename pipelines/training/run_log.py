"""A training's record in a folder: its history, samples, best model, and the checkpoint from which it resumes.

    history.jsonl            a line {"step": 100, "metrics": {...}} for each report
    samples/step_00000100.npy
    checkpoint/              the model with the lowest metric so far (with keep: last, the latest model)
    latest/                  all that a resume needs

A training resumes from this folder alone: Ray writes its own state files in place, and a kill can leave them half
written. After a kill, the folder is brought back to the step of `latest`, and the steps after it are repeated with the
same result.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gen_models import checkpoint_folder
from gen_models.errors import CheckpointError
from gen_models.files import replacing
from pipelines.runtime import locks

if TYPE_CHECKING:
    from gen_models.engine import Training

STOPPED = "stopped"
ENDED = "ended"  # the last step of a training whose checkpoints were removed
WAIT_SECONDS = 30.0


class RunLog:
    """The record of a training in a folder. Only one process may write it at a time; that process calls `hold`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.history_path = folder / "history.jsonl"
        self.best, self.latest = folder / "checkpoint", folder / "latest"

    def resume(self, training: "Training") -> dict[str, Any]:
        """Load the latest checkpoint into `training`, and remove what the folder has of later steps.

        Returns the notes that were saved with the checkpoint, or {} if there is none. A damaged checkpoint counts as
        none: the training then starts from the beginning, which costs only time.
        """
        from gen_models import checkpoint  # imports torch, which a stage that only reads a run log does not need

        (self.folder / ENDED).unlink(missing_ok=True)
        checkpoint.recover(self.best)
        notes = checkpoint.load_training(self.latest, training) if self.saved_step() else {}
        self._forget_after(training.step)
        return notes

    def saved_step(self) -> int:
        """Return the step of the latest checkpoint, or 0 if there is none or it is damaged."""
        try:
            checkpoint_folder.verify(checkpoint_folder.recover(self.latest))
        except CheckpointError:
            return 0
        return json.loads((self.latest / checkpoint_folder.RESUME).read_text())["step"]

    def is_finished(self, steps: int) -> bool:
        """Return whether step `steps` is saved, or the training diverged or was stopped before this step."""
        if self.diverged() is not None or self.is_stopped():
            return True
        return (self.ended_step() or self.saved_step()) >= steps

    def ended_step(self) -> int:
        """Return the step that a training had reached when `prune` removed its checkpoints.

        Returns 0 if `prune` has not removed them.
        """
        path = self.folder / ENDED
        return int(path.read_text()) if path.is_file() else 0

    def prune(self) -> None:
        """Remove the checkpoints; the history and the samples stay. To go on, the training has to begin again."""
        if step := self.saved_step():
            with replacing(self.folder / ENDED) as file:
                file.write(str(step).encode())
        for path in (self.latest, self.best):
            shutil.rmtree(path, ignore_errors=True)

    def remove(self) -> None:
        """Rename the folder and remove it, so that a kill in the middle leaves nothing that looks like a run log."""
        doomed = self.folder.with_name(f".{self.folder.name}.removed")
        shutil.rmtree(doomed, ignore_errors=True)
        self.folder.rename(doomed)
        shutil.rmtree(doomed)

    def stop(self) -> None:
        """Mark the training as stopped by a scheduler: a resumed sweep does not continue it."""
        (self.folder / STOPPED).touch()

    def is_stopped(self) -> bool:
        """Return whether a scheduler stopped the training."""
        return (self.folder / STOPPED).exists()

    def diverged(self) -> str | None:
        """Return why the training diverged, or None if it did not."""
        history = self.history()
        return history[-1].get("diverged") if history else None

    def keep_samples(self, step: int, samples: np.ndarray) -> None:
        """Save samples that the model drew at a step. Samples of step 0 were drawn before the training."""
        path = self.folder / "samples" / f"step_{step:08d}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, samples, allow_pickle=False)

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one report to the history. The line is on disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._append({"step": step, "metrics": dict(metrics)})

    def diverge(self, step: int, reason: str) -> None:
        """Append the last line of a training whose loss was not finite."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._append({"step": step, "metrics": {}, "diverged": reason})

    def history(self) -> list[dict[str, Any]]:
        """Return the lines of the history. A last line that a kill left incomplete is skipped.

        Raises CheckpointError if another line is not JSON.
        """
        if not self.history_path.is_file():
            return []
        text = self.history_path.read_text()
        try:
            return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        except ValueError:
            raise CheckpointError(
                f"{self.history_path}: a line is not JSON; remove {self.folder} to begin again"
            ) from None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be the folder's only writer while the block runs. Raises CheckpointError if another process still writes.

        Without this, a worker that outlives its driver for a moment could write at the same time as the worker after
        it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with locks.held(self.folder / ".lock", within_seconds=WAIT_SECONDS):
                yield
        except locks.HeldError:
            raise CheckpointError(
                f"{self.folder}: another process is writing it; wait for it to end, or stop it"
            ) from None

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.history_path.open("a") as file:
            file.write(json.dumps(line, sort_keys=True, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _forget_after(self, step: int) -> None:
        kept = [line for line in self.history() if line["step"] <= step]
        if self.history_path.exists():
            with replacing(self.history_path) as file:
                file.write("".join(json.dumps(line, sort_keys=True) + "\n" for line in kept).encode())
        for path in self.folder.glob("samples/step_*.npy"):
            if int(path.stem.removeprefix("step_")) > step:
                path.unlink()
