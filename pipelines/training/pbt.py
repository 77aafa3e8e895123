"""Synchronous population based training (Jaderberg et al., 2017): trials of one sweep learn from each other.

The trials of a sweep form a population. They are compared at certain steps, the rungs. At each rung but the last, the
worst 1/eta of the trials give up (eta is a setting of the sweep). Each of them takes the weights, the state of the
optimisers and the setting of one of the best 1/eta (exploit). Then each number in this setting that was drawn from a
range is multiplied by 0.8 or 1.25, within that range (explore). Choices are copied and not changed, as they may decide
the shape of the weights.

Everything is decided from the run logs after every trial has reached the rung, and the random numbers depend only on
the seed and the rung, so a population is reproducible. A trial that gave up is trained on in a new folder, into which
the checkpoint of the better trial is copied before any trial goes on. A resume reads the same decisions from the same
run logs.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gen_models import checkpoint_folder
from gen_models.files import replacing
from pipelines.config.compose import override
from pipelines.training.run_log import RunLog
from pipelines.training.search import Setting, readable
from pipelines.training.task import WORST, Task
from pipelines.training.trials import Trial, best_of

FACTORS = (0.8, 1.25)


@dataclass(frozen=True)
class Takeover:
    """What happens, at a rung, to a trial that gives up.

    trial: its index; source: the index of the trial whose weights it takes; setting: its new setting
    """

    trial: int
    source: int
    setting: Setting


def rounds(
    conf: Mapping[str, Any], trials: Sequence[Trial], stops: Sequence[int], mark: str
) -> Iterator[tuple[list[Task], int]]:
    """Yield (tasks, step) for each round of a population. The caller trains each task up to the step.

    trials: the population, with the first settings. A trial that takes the weights of another gets a new task and
    setting.
    stops: the steps of the rungs; mark: what the names of the trials' folders begin with

    Raises LostError if a run log that is to be copied is gone.
    """
    for index, trial in enumerate(trials):
        trial.task = _moved(trial.task, f"{mark}-{index:04d}-0")
        trial.lineage = []
    for rung, until in enumerate(stops):
        for trial in trials:
            trial.granted = until
        yield [trial.task for trial in trials], until
        if until == stops[-1]:
            return
        found = takeovers(conf, trials, until, rung)
        copied = {one.trial: _task_of(conf, trials[one.source], one, f"{mark}-{one.trial:04d}-{rung + 1}")
                  for one in found}  # fmt: skip
        if lost := [one for one in found if not _copy(trials[one.source].task, copied[one.trial], one.setting, until)]:
            names = {trials[one.source].task.folder for one in lost}
            _forget(Path(names.pop()).parent, mark)  # a folder was removed by hand: begin the population again
            raise LostError
        for one in found:
            trial, source = trials[one.trial], trials[one.source]
            step = {"until": until, "override": source.setting, "from": one.source}
            trial.lineage = [*(source.lineage or []), step]
            trial.task = copied[one.trial]
        for one in found:
            trials[one.trial].setting = one.setting


class LostError(Exception):
    """A run log that a population needs is gone. The population's other run logs were removed, to begin again."""


def takeovers(conf: Mapping[str, Any], trials: Sequence[Trial], until: int, rung: int) -> list[Takeover]:
    """Return a Takeover for each trial that gives up at a rung.

    A trial goes on as it is if the better trial that was drawn for it has diverged too. until: the step of the rung;
    rung: its index
    """
    values = [best_of(trial.task, conf["metric"], until)[0] for trial in trials]
    order = sorted(range(len(trials)), key=lambda index: (values[index], index))
    count = min(max(1, len(trials) // conf["sweep"]["eta"]), len(trials) // 2)
    generator = np.random.default_rng([trials[0].task.seed, rung])
    found = []
    for loser in sorted(order[len(order) - count :] if count else []):
        source = order[int(generator.integers(count))]
        if values[source] >= WORST:
            continue  # there is nothing to take over
        found.append(Takeover(loser, source, explored(conf["sweep"]["space"], trials[source].setting, generator)))
    return found


def explored(space: Mapping[str, Any], setting: Setting, generator: np.random.Generator) -> Setting:
    """Return a setting in which each number that is drawn from a range is multiplied by one of FACTORS.

    The numbers stay within their ranges. space: the sweep's space, {dotted key: {kind of draw: values}}
    """
    changed = dict(setting)
    for key, draw in space.items():
        ((kind, values),) = draw.items()
        if kind != "choice" and setting[key] is not None:
            factor = FACTORS[int(generator.integers(len(FACTORS)))]
            changed[key] = min(max(readable(setting[key] * factor), values[0]), values[1])
    return changed


def _task_of(conf: Mapping[str, Any], source: Trial, one: Takeover, name: str) -> Task:
    return _moved(source.task, name, conf=override(conf, one.setting))


def _moved(task: Task, name: str, conf: Mapping[str, Any] | None = None) -> Task:
    plain = task.as_json() | {"folder": str(Path(task.folder).parent / name)}
    return Task(**(plain | ({"conf": dict(conf)} if conf is not None else {})))


def _copy(source: Task, target: Task, setting: Setting, step: int) -> bool:
    """Copy the run log of `source` into the folder of `target`, and put the setting's rates into the copied checkpoint.

    If that was done before, do nothing. Returns False if the run log's checkpoint is not at `step` any more.
    """
    folder = Path(target.folder)
    if folder.is_dir():
        return True
    if RunLog(Path(source.folder)).saved_step() != step:
        return False
    fresh = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    shutil.copy(Path(source.folder) / "history.jsonl", fresh)
    shutil.copytree(Path(source.folder) / "latest", fresh / "latest")
    _set_rates(fresh / "latest", setting)
    fresh.rename(folder)
    return True


def _set_rates(folder: Path, setting: Setting) -> None:
    """Write a setting's numbers for optimisers, such as optim.vae.lr, into a checkpoint.

    Without this, a training that resumes from the checkpoint would get back the old numbers.
    """
    path = folder / checkpoint_folder.RESUME
    state = json.loads(path.read_text())
    for key, value in setting.items():
        group, *name = key.split(".")
        if group != "optim" or len(name) != 2:
            continue
        optimiser, number = name
        for one in state["optimisers"][optimiser]["param_groups"]:
            one[number] = value
            if number == "lr":
                one["initial_lr"] = value
    with replacing(path) as file:
        file.write(json.dumps(state).encode())
    manifest = json.loads((folder / checkpoint_folder.MANIFEST).read_text())
    manifest["files"][path.name] = checkpoint_folder.fact(path)
    with replacing(folder / checkpoint_folder.MANIFEST) as file:
        file.write(json.dumps(manifest, indent=1).encode())


def _forget(folder: Path, mark: str) -> None:
    for path in folder.glob(f"{mark}-*"):
        RunLog(path).remove()
