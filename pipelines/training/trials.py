"""The trials of a sweep: their tasks, their results as their run logs have them, and the choice of the best setting."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from pipelines.config.compose import override
from pipelines.lineage.hashing import sha256_json
from pipelines.training.run_log import RunLog
from pipelines.training.task import WORST, Task, task_of

Trials = list[tuple[dict[str, Any], Task]]  # (setting, task) for each trial


class SweepError(GenModelsError):
    """A sweep failed: a trial failed or did not finish, or every trial diverged."""


def trials_of(conf: dict[str, Any], settings: Sequence[dict[str, Any]], data: Path, seed: int, folder: Path) -> Trials:
    """Return (setting, task) for each setting {dotted key: value} that a sweep tries.

    data: the folder of the prepared data set; folder: where the trials' run logs are made
    """
    planned = []
    for index, changes in enumerate(settings):
        chosen = override(conf, changes)
        task = task_of(
            chosen,
            data,
            seed=seed,
            steps=conf["budget"]["trial_steps"],
            folder=folder / f"trial_{index:04d}-{sha256_json(chosen)[:8]}",
            is_trial=True,
        )
        planned.append((changes, task))
    return planned


def best_of(task: Task, metric: str, until: int | None = None) -> tuple[float, int]:
    """Return (the lowest value of the metric, its step) in a trial's history, or (WORST, 0) for a diverged trial.

    until: only reports up to this step count; None: all
    """
    history = RunLog(Path(task.folder)).history()
    if not history or "diverged" in history[-1]:
        return WORST, 0
    name = f"validation.{metric}"
    told = ((line["metrics"][name], line["step"]) for line in history if until is None or line["step"] <= until)
    return min(told, default=(WORST, 0))


def row(index: int, changes: dict[str, Any], task: Task, metric: str) -> dict[str, Any]:
    """Return the row of a trial in trials.json: its setting, its best value and metrics, and its history."""
    history = RunLog(Path(task.folder)).history()
    value, step = best_of(task, metric)
    at_best: dict[str, float] = next(
        (line["metrics"] for line in history if line["step"] == step and line["metrics"]), {}
    )
    return {
        "trial": index,
        "override": changes,
        "value": None if value == WORST else value,
        "best_step": step,
        "steps": history[-1]["step"],
        "diverged": history[-1].get("diverged"),
        "metrics": at_best,
        "history": history,
    }


def choose(rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return the row with the lowest value; of rows with the same value, the first.

    Raises SweepError if every trial diverged.
    """
    usable = [row for row in rows if row["value"] is not None]
    if not usable:
        raise SweepError(f"sweep {key}: every trial diverged; lower the learning rates in its conf's sweep.space")
    return min(usable, key=lambda row: (row["value"], row["trial"]))
