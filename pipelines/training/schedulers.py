"""The schedulers, which decide which trials of a sweep continue, and for how many steps.

A rung is a step at which a scheduler compares the trials that have reached it.

none      every trial runs to its end
halving   synchronous successive halving (Jamieson and Talwalkar, 2016): a rung is decided from the run logs after all
          its trials have reached it, so the sweep is reproducible. The first trial has the conf's own settings (but for
          the searcher grid) and always goes on: settings that learn fast at first may end worse, and a sweep should
          not end worse than the conf
pbt       population based training, in pbt.py
asha      asynchronous successive halving (Li et al., 2020): Ray decides when results arrive, so the sweep is not
          reproducible
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.training.rungs import stops
from pipelines.training.task import Task
from pipelines.training.trials import best_of


def rounds(conf: Mapping[str, Any], tasks: Sequence[Task]) -> Iterator[tuple[list[Task], int]]:
    """Yield (tasks, step) for each round of a sweep, for every scheduler but pbt.

    conf: the sweep's configuration; tasks: the tasks of all its trials

    The caller trains each task up to the step before it asks for the next round.
    """
    spared, kept = list(tasks[: _spared(conf)]), list(tasks[_spared(conf) :])
    place = {task.folder: index for index, task in enumerate(tasks)}
    for rung, most in zip(stops(conf), [*_most(conf, len(tasks)), 0], strict=True):
        yield [*spared, *kept], rung
        kept = ranked(conf, kept, rung, place)[:most]


def ranked(conf: Mapping[str, Any], tasks: Sequence[Task], rung: int, place: Mapping[str, int]) -> list[Task]:
    """Return the tasks in the order of the best value that each has reported up to the step `rung`, the best first.

    Tasks with the same value keep the order of the sweep. place: {folder of a task: its index in the sweep}
    """
    return sorted(tasks, key=lambda task: (best_of(task, conf["metric"], until=rung)[0], place[task.folder]))


def sizes(conf: Mapping[str, Any], trials: int) -> list[int]:
    """Return how many trials each round of a sweep trains, without the later trainings of finalists with other seeds.

    trials: how many the first round trains
    """
    if conf["sweep"]["scheduler"] != "halving":
        return [trials] * len(stops(conf))
    return [trials, *(min(trials, _spared(conf) + most) for most in _most(conf, trials))]


def _spared(conf: Mapping[str, Any]) -> int:
    """Return how many trials at the beginning of a sweep are never stopped by halving."""
    return int(conf["sweep"]["searcher"] != "grid")


def _most(conf: Mapping[str, Any], trials: int) -> list[int]:
    """Return how many trials halving keeps at each rung but the last, without those that it spares."""
    found = [trials]
    for _ in stops(conf)[:-1]:
        found.append(max(1, found[-1] // conf["sweep"]["eta"]))
    return found[1:]


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
