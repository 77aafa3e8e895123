"""A training as plain data that can be sent to any process, and the record that a training yields at each report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

WORST = 1e30  # the value that a scheduler gets for a diverged trial: finite, and above every metric


@dataclass(frozen=True)
class Task:
    """Everything that decides a training, and the folder of its run log. All paths are absolute.

    conf      a composed configuration
    data      the folder of the prepared data set
    steps     the number of minibatches to train for
    horizon   the step at which the schedule of the learning rates ends. It is later than `steps` if a scheduler
              grants fewer steps than were planned
    report_every, checkpoint_every   how many minibatches lie between two reports, and between two checkpoints
    report_also  further steps with a report, but without samples
    is_trial  whether it is a trial of a sweep, whose run log needs neither samples at each report nor the best model
    """

    conf: dict[str, Any]
    data: str
    seed: int
    steps: int
    horizon: int
    report_every: int
    checkpoint_every: int
    folder: str
    is_trial: bool
    report_also: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Record:
    """A report with its validation metrics. A training yields it after writing it to the run log.

    value: the metric that the conf names, for which lower is better
    is_saved: whether a checkpoint of this step is on disk
    """

    step: int
    metrics: dict[str, float]
    value: float
    is_saved: bool


def task_of(conf: Mapping[str, Any], data: Path, *, seed: int, steps: int, folder: Path, is_trial: bool) -> Task:
    """Return the task of a configuration. Reports and checkpoints are spread evenly over its steps.

    conf: a composed configuration, which says how many reports and checkpoints there are
    data: the folder of the prepared data set; folder: the folder of the run log
    """
    report_every = ceil(steps / conf["budget"]["reports"])
    checkpoint_every = report_every * max(1, conf["budget"]["reports"] // conf["budget"]["checkpoints"])
    return Task(dict(conf), str(data), seed, steps, steps, report_every, checkpoint_every, str(folder), is_trial)
