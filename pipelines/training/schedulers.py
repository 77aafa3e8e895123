"""The schedulers, which decide which trials of a sweep continue, and for how many steps.

none      every trial runs to its end
halving   synchronous successive halving (Jamieson and Talwalkar, 2016): a rung is decided from the run logs after all
          its trials have reached it, so the sweep is reproducible
asha      asynchronous successive halving (Li et al., 2020): Ray decides when results arrive, so the sweep is not
          reproducible
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from pipelines.training.task import Task
from pipelines.training.trials import best_of


def rounds(conf: Mapping[str, Any], tasks: Sequence[Task]) -> Iterator[tuple[list[Task], int]]:
    """Yield (tasks, step) for each round of a sweep: the caller trains the tasks up to the step, and asks for the next.

    conf: the sweep's configuration; tasks: all its trials
    """
    sweep, steps = conf["sweep"], conf["budget"]["trial_steps"]
    rungs = rungs_of(steps, sweep["eta"], sweep["rungs"]) if sweep["scheduler"] == "halving" else [steps]
    kept = list(tasks)
    for rung in rungs:
        yield kept, rung
        kept = sorted(kept, key=lambda task: (best_of(task, conf["metric"], until=rung)[0], task.folder))
        kept = kept[: max(1, len(kept) // sweep["eta"])]


def rungs_of(steps: int, eta: int, count: int) -> list[int]:
    """Return the steps at which halving compares trials: steps / eta^(count - 1), ..., steps / eta, steps."""
    return [max(1, ceil(steps / eta**k)) for k in reversed(range(count))]


def sizes(conf: Mapping[str, Any], trials: int) -> list[int]:
    """Return how many trials each round of a sweep trains."""
    sweep = conf["sweep"]
    counts = [trials]
    if sweep["scheduler"] == "halving":
        while len(counts) < sweep["rungs"]:
            counts.append(max(1, counts[-1] // sweep["eta"]))
    return counts


def asha_arguments(conf: Mapping[str, Any], until: int) -> dict[str, Any]:
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
