"""Follows a training through its run log: sends the numbers and the pictures of samples to MLflow.

The workers write the run log and never wait for MLflow. The driver process reads the run log now and then.
"""

from pathlib import Path
from typing import Any

from pipelines import figures, tracking
from pipelines.data.store import open_folder
from pipelines.training.training_plan import TrainingPlan


class Follower:
    """Records each step of a run log once, in order. `catch_up` is called again and again, and `finish` at the end."""

    def __init__(self, plan: TrainingPlan):
        self.plan = plan
        self._recorder = tracking.Recorder(plan.lineage)
        self._dataset = open_folder(Path(plan.task.data))
        self._seen = 0
        self.is_over = False

    def catch_up(self) -> dict[str, Any] | None:
        """Record the steps that are new in the run log; return the last new line, or None if there is no new step."""
        fresh = None
        for line in self.plan.log.history():
            if line["step"] <= self._seen or "diverged" in line:
                continue
            if not self._seen:
                self._draw(0)
            self._recorder.log(line["step"], line["metrics"])
            self._draw(line["step"])
            self._seen = line["step"]
            fresh = line
        return fresh

    def finish(self, status: str) -> None:
        """Record what is left, and how the training ended. status: FINISHED, FAILED or KILLED

        If the training diverged, FAILED is recorded in the place of FINISHED.
        """
        self.is_over = True
        if status != "FINISHED":
            self._recorder.finish(status)
            return
        self.catch_up()
        if reason := self.plan.log.diverged():
            self._recorder.diverged(reason)
            self._recorder.finish("FAILED")
        else:
            self._recorder.finish("FINISHED", self.plan.log.best)

    def _draw(self, step: int) -> None:
        picture = figures.step_picture(self.plan.log.folder, step, self._dataset)
        if picture is not None:
            self._recorder.log_samples(step, picture)
