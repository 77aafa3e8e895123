"""Writes one run to MLflow's store. Errors are raised, and what is logged twice is stored once."""

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, ViewType
from PIL import Image

from pipelines.tracking.mlflow_store import TRAININGS, experiment_id, open_store

STATUSES = ("FINISHED", "FAILED", "KILLED")
METRICS_PER_BATCH, OTHERS_PER_BATCH, VALUE_LENGTH = 1000, 100, 6000  # MLflow's limits
Picture = bytes | np.ndarray  # a PNG, or (height, width[, 3]) uint8


class MlflowRun:
    """The run in MLflow that has a given key as its tag. It is made if there is none.

    lineage: what train or sweep wrote to lineage.json. It has at least `key`, the hash of all that decides the result,
    and `run`, the name of the run
    experiment: the name of the MLflow experiment; parent: the id of the run below which MLflow shows this one, or None
    client: a client of the store; None: open the store

    What is logged twice is stored once.
    """

    def __init__(
        self,
        lineage: Mapping[str, Any],
        *,
        experiment: str = TRAININGS,
        parent: str | None = None,
        client: MlflowClient | None = None,
    ):
        self.client = client or open_store()
        self.experiment_id = experiment_id(self.client, experiment)
        self._logged: dict[str, set[int]] = {}
        key = lineage["key"]
        found = self.client.search_runs([self.experiment_id], f"tags.key = '{key}'", ViewType.ACTIVE_ONLY, 1)
        self.is_new = self._knows_all = not found
        if found:
            self.run_id = found[0].info.run_id
        else:
            tags = _tags(lineage) | ({"mlflow.parentRunId": parent} if parent else {})
            self.run_id = self.client.create_run(self.experiment_id, tags=tags, run_name=lineage["run"]).info.run_id
        self._describe(lineage)

    def tags(self) -> dict[str, str]:
        return dict(self.client.get_run(self.run_id).data.tags)

    def tag(self, name: str, value: str) -> None:
        self.client.set_tag(self.run_id, name, value)

    def log(self, lines: Iterable[Mapping[str, Any]]) -> int:
        """Log those numbers of a history that the run does not have yet, and return how many there were.

        lines: {"step": step, "metrics": {name: value}}, and "diverged": reason in the last line of a training that
        diverged. A value that is not finite is not logged. It, or the reason, becomes the run's tag `diverged`.
        """
        now = int(time.time() * 1000)
        fresh: list[Metric] = []
        for line in lines:
            step = int(line["step"])
            for name, value in line["metrics"].items():
                if not math.isfinite(value):
                    self.tag("diverged", f"step {step}: {name} is {value}")
                elif step not in self._steps(label(name)):
                    fresh.append(Metric(label(name), float(value), now, step))
            if reason := line.get("diverged"):
                self.tag("diverged", str(reason))
        for start in range(0, len(fresh), METRICS_PER_BATCH):
            batch = fresh[start : start + METRICS_PER_BATCH]
            try:
                self.client.log_batch(self.run_id, metrics=batch)
            except BaseException:
                self._logged, self._knows_all = {}, False  # it may be stored: ask before the next try
                raise
            for metric in batch:
                self._logged[metric.key].add(metric.step)
        return len(fresh)

    def log_result(self, step: int, metrics: Mapping[str, float]) -> int:
        """Log numbers about the whole run, such as those of evaluate; return how many were logged.

        A number is logged if it differs from the run's latest one of the same name. The names of numbers that are not
        finite go into the tag `not_finite`.
        """
        data, now = self.client.get_run(self.run_id).data, int(time.time() * 1000)
        latest = data.metrics
        finite = {label(name): float(value) for name, value in metrics.items() if math.isfinite(value)}
        if broken := sorted(set(metrics) - {name for name in metrics if label(name) in finite}):
            self.tag("not_finite", ", ".join(broken))
        elif "not_finite" in data.tags:
            self.client.delete_tag(self.run_id, "not_finite")
        fresh = [Metric(name, value, now, step) for name, value in finite.items() if latest.get(name) != value]
        for start in range(0, len(fresh), METRICS_PER_BATCH):
            self.client.log_batch(self.run_id, metrics=fresh[start : start + METRICS_PER_BATCH])
        return len(fresh)

    def log_samples(self, step: int, picture: Picture) -> bool:
        """Log a picture of samples, for the slider over steps on MLflow's page of the run.

        Returns False, and logs nothing, if the run has a picture of this step.
        """
        if step in self.sample_steps():
            return False
        image = Image.open(BytesIO(picture)) if isinstance(picture, bytes) else np.ascontiguousarray(picture)
        self.client.log_image(self.run_id, image, key="samples", step=step)
        return True

    def sample_steps(self) -> set[int]:
        """Return the steps whose picture is complete: those with a small copy, which MLflow writes last."""
        pattern = re.compile(r"images/samples[+%]step[+%](\d+)[+%].*compressed\.webp")
        files = self.client.list_artifacts(self.run_id, "images")
        return {int(match[1]) for file in files if (match := pattern.fullmatch(file.path))}

    def log_folder(self, folder: Path, name: str, digest: str) -> bool:
        """Store a folder's files below `name` in the run's artifacts, and set the tag NAME_sha256 to `digest`.

        digest: the hash of the folder's files. Returns False, and stores nothing, if the run has these files already.
        """
        if self.tags().get(f"{name}_sha256") == digest and self.holds(name):
            return False
        self.client.log_artifacts(self.run_id, str(folder), name)
        self.tag(f"{name}_sha256", digest)
        return True

    def holds(self, name: str) -> bool:
        """Return whether the run's artifacts have files below `name`."""
        return bool(self.client.list_artifacts(self.run_id, name))

    def log_file(self, path: Path, folder: str) -> None:
        self.client.log_artifact(self.run_id, str(path), folder)

    def begin(self) -> None:
        self.client.update_run(self.run_id, status="RUNNING")

    def end(self, status: str) -> None:
        """Set the run's status: FINISHED, FAILED or KILLED."""
        assert status in STATUSES, status
        if self.client.get_run(self.run_id).info.status != status:
            self.client.set_terminated(self.run_id, status)

    def _steps(self, name: str) -> set[int]:
        if name not in self._logged:
            history = [] if self._knows_all else self.client.get_metric_history(self.run_id, name)
            self._logged[name] = {metric.step for metric in history}
        return self._logged[name]

    def _describe(self, lineage: Mapping[str, Any]) -> None:
        """Log the params and the data set, unless the run has them.

        A run that already existed lacks them if the process that made it was killed at once.
        """
        run = self.client.get_run(self.run_id)
        params = {str(name): str(value)[:VALUE_LENGTH] for name, value in lineage.get("params", {}).items()}
        missing = [Param(name, value) for name, value in params.items() if name not in run.data.params]
        for start in range(0, len(missing), OTHERS_PER_BATCH):
            self.client.log_batch(self.run_id, params=missing[start : start + OTHERS_PER_BATCH])
        if lineage.get("data_sha256") and not (run.inputs and run.inputs.dataset_inputs):
            source = json.dumps({"uri": f"out/data/{lineage['data']}", "sha256": lineage["data_sha256"]})
            data = Dataset(lineage["data"], lineage["data_sha256"][:12], "local", source)
            self.client.log_inputs(self.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])


def label(metric: str) -> str:
    """Return the name under which MLflow gets a metric: critic/wasserstein for critic.wasserstein.

    MLflow's pages show the part before the slash as a section.
    """
    return metric.replace(".", "/", 1)


def folder_sha256(folder: Path) -> str:
    """Return one hash of the names and contents of all files below a folder."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _tags(lineage: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags by which a run is found, filtered and traced."""
    names = ("key", "run", "model", "family", "data", "data_sha256", "conf_sha256", "git_commit", "seed", "workers")
    tags = {name: str(lineage[name]) for name in names if name in lineage}
    commit = str(lineage.get("git_commit", "none")).partition("+")[0]
    if commit != "none":
        tags["mlflow.source.git.commit"] = commit
    if lineage.get("metric"):
        tags["metric"] = str(lineage["metric"])
    for package, version in lineage.get("versions", {}).items():
        tags[f"version.{package}"] = str(version)
    return tags
