"""The schedulers, which decide which trials of a sweep continue, and for how many steps.

none      every trial runs to its end
halving   synchronous successive halving (Jamieson and Talwalkar, 2016): a rung is decided from the run logs after all
          its trials have reached it, so the sweep is reproducible
asha      asynchronous successive halving (Li et al., 2020): Ray decides when results arrive, so the sweep is not
          reproducible
"""

from collections.abc import Callable
from math import ceil
from typing import Any

from pipelines.training.task import Task
from pipelines.training.trials import best_of

Advance = Callable[[str, list[Task], int], None]  # (title, tasks, until): bring each task to step `until`


def run_schedule(key: str, conf: dict[str, Any], tasks: list[Task], advance: Advance) -> None:
    """Call `advance` until every trial has run for as many steps as the scheduler grants.

    key: the sweep's name; conf: its configuration; tasks: its trials
    """
    sweep, steps = conf["sweep"], conf["budget"]["trial_steps"]
    if sweep["scheduler"] != "halving":
        advance(key, tasks, steps)
        return
    for rung in rungs(steps, sweep["eta"], sweep["rungs"]):
        advance(f"{key}, rung of {rung} steps", tasks, rung)
        kept = max(1, len(tasks) // sweep["eta"])
        tasks = sorted(tasks, key=lambda task: (best_of(task, conf["metric"], until=rung)[0], task.folder))[:kept]


def rungs(steps: int, eta: int, count: int) -> list[int]:
    """Return the steps at which halving compares trials: steps / eta^(count - 1), ..., steps / eta, steps."""
    return [max(1, ceil(steps / eta**k)) for k in reversed(range(count))]


def asha_arguments(conf: dict[str, Any], until: int) -> dict[str, Any]:
    """Return the arguments of Ray's ASHAScheduler for trials of `until` steps."""
    eta = conf["sweep"]["eta"]
    return {
        "time_attr": "step",
        "metric": "value",
        "mode": "min",
        "max_t": until,
        "grace_period": max(1, until // eta ** (conf["sweep"]["rungs"] - 1)),
        "reduction_factor": eta,
    }
