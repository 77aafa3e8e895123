"""Follows a training through its run log: shows progress, and sends numbers and sample grids to MLflow.

The workers write the run log and never wait for MLflow. A thread of the driver process reads the run log.
"""

import threading
from pathlib import Path

from pipelines import figures, tracking
from pipelines.data.store import open_folder
from pipelines.runtime.progress import Progress
from pipelines.training.run_log import RunLog
from pipelines.training.task import Task

SECONDS_BETWEEN_LOOKS = 0.25


class Follower:
    """A context manager: while its block runs, each step of the run log is shown and recorded once, in order.

    If the block ends with an error, the run is marked as KILLED or FAILED.
    """

    def __init__(self, key: str, task: Task, recorder: tracking.Recorder):
        self._log, self._task, self._recorder = RunLog(Path(task.folder)), task, recorder
        self._progress = Progress(f"train {key}", task.steps, "step")
        self._dataset = open_folder(Path(task.data))
        self._seen = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind, error, trace) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self._catch_up()
        else:
            self._recorder.finish("KILLED" if isinstance(error, SystemExit) else "FAILED", None)
        self._progress.close()

    def _follow(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_LOOKS):
            self._catch_up()

    def _catch_up(self) -> None:
        metric = f"validation.{self._task.conf['metric']}"
        for line in self._log.history():
            if line["step"] <= self._seen or "diverged" in line:
                continue
            if not self._seen:
                self._draw(0)
            self._recorder.log(line["step"], line["metrics"])
            self._draw(line["step"])
            self._seen = line["step"]
            self._progress.show(line["step"], f"{metric} {line['metrics'][metric]:.4g}")

    def _draw(self, step: int) -> None:
        picture = figures.step_picture(self._log.folder, step, self._dataset)
        if picture is not None:
            self._recorder.log_samples(step, picture)
