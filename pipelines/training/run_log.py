"""A training's own record in a folder: its history, samples, best model, and the latest place to resume from.

    history.jsonl            {"step": 100, "metrics": {...}} a line, each step once
    samples/step_00000100.npy
    best/                    the model with the lowest metric so far
    latest/                  all that a resume needs

It is what a resume trusts: Ray's own state files are written in place and a kill can tear them. After a
kill the folder is brought back to the step of `latest`, and the steps after it are done again, alike.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gen_models import checkpoint
from gen_models.engine import Training
from gen_models.errors import CheckpointError
from pipelines.runtime import locks

STOPPED = "stopped"
WAIT_SECONDS = 30.0


class Ledger:
    """The record in a folder. One process writes it at a time: it holds it meanwhile."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.history_path = folder / "history.jsonl"
        self.best, self.latest = folder / "best", folder / "latest"

    def resume(self, training: Training) -> dict[str, Any]:
        """Bring `training` to the latest saved step, the folder with it; returns the notes saved there, or {}.

        A torn or damaged `latest` is a start from the beginning, not an error: nothing is lost but time.
        """
        checkpoint.recover(self.best)
        notes = checkpoint.load_training(self.latest, training) if self.saved_step() else {}
        self._forget_after(training.step)
        return notes

    def saved_step(self) -> int:
        """The step of a `latest` that is whole; 0 if there is none."""
        try:
            checkpoint.verify(checkpoint.recover(self.latest))
        except CheckpointError:
            return 0
        return json.loads((self.latest / checkpoint.RESUME).read_text())["step"]

    def is_finished(self, steps: int) -> bool:
        """Whether step `steps` is saved, or the training diverged or was stopped before it."""
        return self.saved_step() >= steps or self.diverged() is not None or (self.folder / STOPPED).exists()

    def stop(self) -> None:
        """A scheduler has seen enough of it: a resumed sweep does not play it on."""
        (self.folder / STOPPED).touch()

    def diverged(self) -> str | None:
        """Why the training diverged, if it did."""
        history = self.history()
        return history[-1].get("diverged") if history else None

    def keep_samples(self, step: int, samples: np.ndarray) -> None:
        """Draws at a step; 0 is before the first."""
        path = self.folder / "samples" / f"step_{step:08d}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, samples, allow_pickle=False)

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one report; the line is on disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._append({"step": step, "metrics": dict(metrics)})

    def diverge(self, step: int, reason: str) -> None:
        """The last line of a training whose loss was not finite."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._append({"step": step, "metrics": {}, "diverged": reason})

    def history(self) -> list[dict[str, Any]]:
        """The complete lines; a torn last line (a kill while it was written) is left out."""
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
        """Its only writer: a worker that outlives its driver for a moment must not meet the one after it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as file:
            if not locks.take(file, within_seconds=WAIT_SECONDS):
                raise CheckpointError(f"{self.folder}: another process is writing it; wait for it to end, or stop it")
            yield

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.history_path.open("a") as file:
            file.write(json.dumps(line, sort_keys=True, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _forget_after(self, step: int) -> None:
        kept = [line for line in self.history() if line["step"] <= step]
        if self.history_path.exists():
            fresh = self.history_path.with_suffix(".unfinished")
            fresh.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in kept))
            fresh.rename(self.history_path)
        for path in self.folder.glob("samples/step_*.npy"):
            if int(path.stem.removeprefix("step_")) > step:
                path.unlink()
