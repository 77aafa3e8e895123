"""The trials of a sweep: their tasks, their results as the run logs have them, and the choice of the best setting.

The folder of a trial's run log is named by a hash of all that decides that trial, and of nothing else of the sweep. So
a sweep that gets more trials, seeds or values of a grid finds the trials that it has trained before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from gen_models.errors import GenModelsError
from pipelines.config.compose import override
from pipelines.lineage import facts
from pipelines.training.ranking import ranking
from pipelines.training.run_log import RunLog
from pipelines.training.rungs import trial_report_every
from pipelines.training.task import WORST, Task, task_of

Trials = list[tuple[dict[str, Any], Task]]  # (setting, task) for each trial


class SweepError(GenModelsError):
    """A sweep failed: a trial failed or did not finish, or every trial diverged."""


@dataclass
class Trial:
    """A trial as a sweep sees it.

    setting: {dotted key: value}; granted: the step up to which the sweep trains this trial; its run log may go further
    of: the index of the trial whose setting it repeats with another seed, or None
    lineage: the settings that it had before, with the scheduler pbt: [{"until": step, "override": setting, "from":
    trial}]
    """

    setting: dict[str, Any]
    task: Task
    granted: int = 0
    of: int | None = None
    lineage: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Place:
    """Where the trials of a sweep are trained, and what decides all of them besides their settings.

    data: the folder of the prepared data set; folder: the folder of the run logs; decides: hashes of the data and the
    code
    stops: the steps at which the sweep compares its trials; the last of them is where the trials end
    mark: what the names of the run logs' folders begin with
    """

    data: Path
    folder: Path
    decides: Mapping[str, Any]
    stops: tuple[int, ...]
    mark: str = ""

    def task(self, conf: Mapping[str, Any], setting: Mapping[str, Any], seed: int) -> Task:
        """Return the task that trains a setting with a seed up to the last of `stops`. conf: the conf of the sweep"""
        chosen, steps = override(conf, setting), self.stops[-1]
        task = task_of(chosen, self.data, seed=seed, steps=steps, folder=self.folder, is_trial=True)
        if conf["budget"].get("trial_report_every"):
            every = trial_report_every(conf["budget"])
            reports = max(1, ceil(steps / every) // conf["budget"]["checkpoints"])
            task = replace(task, report_every=every, checkpoint_every=every * reports)
        apart = {k: v for k, v in facts.deciding(chosen).items() if k not in ("sweep", "budget", "budgets")}
        front = chosen["sweep"].get("front")
        who = facts.key(stage="trial", conf=apart, front=front, seed=seed, **self.decides)
        when = facts.key(
            report_every=task.report_every,
            stops=[step for step in self.stops if step % task.report_every],
            horizon=None if chosen["schedule"] == "constant" else task.horizon,
        )
        return replace(task, folder=str(self.folder / f"{self.mark}{who[:12]}-{when[:6]}"))


def told(task: Task, until: int | None = None) -> list[dict[str, Any]]:
    """Return the lines of a trial's history up to the step `until`; None: all lines.

    A run log may go further, for example because the sweep had more steps before.
    """
    history = RunLog(Path(task.folder)).history()
    if until is None:
        return history
    reached = any(line["step"] == until and "diverged" not in line for line in history)
    return [line for line in history if line["step"] <= until and not (reached and "diverged" in line)]


def best_of(task: Task, metric: str, until: int | None = None) -> tuple[float, int]:
    """Return (the lowest value of a metric, its step) in a trial's history; (WORST, 0) if it diverged or is empty.

    until: only reports up to this step count; None: all reports count
    """
    history = told(task, until)
    if not history or "diverged" in history[-1]:
        return WORST, 0
    name = f"validation.{metric}"
    return min(((line["metrics"][name], line["step"]) for line in history), default=(WORST, 0))


def rows(trials: Sequence[Trial], metric: str) -> list[dict[str, Any]]:
    """Return the rows of trials.json, one for each trial.

    If a setting was trained with several seeds, the row of its first trial also has the seeds, and the mean and the
    standard deviation of their values. The mean and the deviation are None if the training with one of the seeds
    diverged.
    """
    found = [row(index, trial, metric) for index, trial in enumerate(trials)]
    for first in found:
        same = [first, *(one for one in found if one.get("of") == first["trial"])]
        if len(same) > 1:
            values = [one["value"] for one in same]
            is_whole = None not in values
            first |= {
                "seeds": [one["seed"] for one in same],
                "mean": mean(values) if is_whole else None,
                "sd": stdev(values) if is_whole else None,
            }
    return found


def row(index: int, trial: Trial, metric: str) -> dict[str, Any]:
    """Return the row of a trial in trials.json: its setting, its best value and metrics, and its history."""
    history = told(trial.task, trial.granted)
    value, step = best_of(trial.task, metric, trial.granted)
    at_best: dict[str, float] = next(
        (line["metrics"] for line in history if line["step"] == step and line["metrics"]), {}
    )
    return {
        "trial": index,
        "override": trial.setting,
        "seed": trial.task.seed,
        "value": None if value == WORST else value,
        "best_step": step,
        "steps": history[-1]["step"],
        "diverged": history[-1].get("diverged"),
        "metrics": at_best,
        **({} if trial.of is None else {"of": trial.of}),
        **({} if trial.lineage is None else {"lineage": trial.lineage}),
        "history": history,
    }


def choose(found: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return the row with the lowest value; of rows with the same value, the first.

    If some settings have a mean over several seeds, only these settings are compared, by their means. Raises SweepError
    if every trial diverged.

    found: the rows of trials.json; key: the name of the sweep
    """
    ranked = ranking(found)
    if not ranked:
        raise SweepError(f"sweep {key}: every trial diverged; lower the learning rates in its conf's sweep.space")
    return ranked[0]


def prune(trials: Sequence[Trial], folder: Path, *, keep: Iterable[str], most: int) -> None:
    """Remove checkpoints of trials that have ended, and old run logs.

    trials: the trials of the sweep. They lose their checkpoints, unless their folders are in `keep`.
    folder: the folder of the run logs. It may have run logs of trials that the sweep does not have any more. The `most`
    newest of these lose their checkpoints too; older ones are removed.
    """
    kept, own = set(keep), {trial.task.folder for trial in trials}
    for name in sorted(own - kept):
        RunLog(Path(name)).prune()
    others = [path for path in folder.iterdir() if path.is_dir() and str(path) not in own]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[:most]:
        RunLog(path).prune()
    for path in others[most:]:
        RunLog(path).remove()
