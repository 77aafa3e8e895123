"""The steps at which the trials of a sweep report, and at which a scheduler compares them.

A training depends on them too, since it reports wherever a trial does; it depends on nothing else of a sweep's code.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any


def stops(conf: Mapping[str, Any]) -> list[int]:
    """Return the steps at which a sweep compares its trials; the last of them is where the trials end."""
    sweep, steps = conf["sweep"], conf["budget"]["trial_steps"]
    if sweep["scheduler"] == "halving":
        return rungs_of(steps, sweep["eta"], sweep["rungs"])
    if sweep["scheduler"] == "pbt":
        return [max(1, ceil(steps * k / sweep["rungs"])) for k in range(1, sweep["rungs"] + 1)]
    return [steps]


def rungs_of(steps: int, eta: int, count: int) -> list[int]:
    """Return the steps at which halving compares trials: steps / eta^(count - 1), ..., steps / eta, steps.

    Fractions are rounded up.
    """
    return [max(1, ceil(steps / eta**k)) for k in reversed(range(count))]


def trial_report_every(budget: Mapping[str, Any]) -> int:
    """Return how many minibatches lie between two reports of a trial. budget: of a composed configuration"""
    steps = budget["trial_steps"]
    return min(budget.get("trial_report_every") or ceil(steps / budget["reports"]), steps)


def trial_reports(conf: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the steps at which a trial of a sweep reports. A training reports there, too.

    So it keeps a model that is at least as good on validation rows as the one that its sweep chose its setting for, if
    the rates follow no schedule. Otherwise a training that overfits before its own first report would lose that model.
    """
    every = trial_report_every(conf["budget"])
    return tuple(sorted({*range(every, conf["budget"]["trial_steps"] + 1, every), *stops(conf)}))
