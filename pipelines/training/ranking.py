"""Ranks the settings of a sweep by the rows of trials.json, and says if they differ too little for a choice."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Row = TypeVar("Row", bound=Mapping[str, Any])

HARDLY = 1e-3  # of the best value: below this, seeds and minibatches decide
FEWEST = 3  # settings
CONFIDENCE = 0.95


def ranking(trials: Sequence[Row]) -> list[Row]:
    """Return a trial for each setting, the best first: settings with a mean over seeds, then the others by value.

    trials: rows of trials.json; a row with "of": n repeats the setting of trial n with another seed
    """
    settings = [trial for trial in trials if "of" not in trial and trial["value"] is not None]
    return sorted(settings, key=lambda trial: (trial.get("mean") is None, number(trial), trial["trial"]))


def number(trial: Mapping[str, Any]) -> float:
    """Return the mean over seeds by which a setting is ranked, or its value if it has none."""
    return trial["value"] if trial.get("mean") is None else trial["mean"]


def undecided(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence that says that the settings of a sweep are hard to tell apart, or "" if they are not.

    They are if all settings hardly differ, or if the means over seeds of some are as good as the best one's. Fewer than
    FEWEST settings never count as hardly different. trials: as for `ranking`
    """
    values = [number(trial) for trial in ranking(trials)]
    if len(values) >= FEWEST and max(values) - min(values) < HARDLY * abs(min(values)):
        return (
            f"The choice means little: the best and the worst of {len(values)} settings differ by less than "
            f"{HARDLY:.1%}. More trial_steps, or a model that has not collapsed, may tell them apart."
        )
    if not (alike := as_good(trials)):
        return ""
    which = ", ".join(_setting(trial) for trial in alike)
    return f"The seeds do not tell the best setting from {which}: give more seeds, or take either."


def as_good(trials: Sequence[Row]) -> list[Row]:
    """Return the settings whose means over seeds do not differ from the best one's, the nearest first.

    A difference counts if it is outside the 95% confidence interval of Student's t, with one standard deviation for all
    settings, pooled over them. Settings with one seed are left out. trials: as for `ranking`
    """
    settings = [trial for trial in ranking(trials) if trial.get("sd") is not None]
    if len(settings) < 2:
        return []
    from scipy.special import stdtrit  # a tenth of a second

    freedom = sum(len(trial["seeds"]) - 1 for trial in settings)
    variance = sum((len(trial["seeds"]) - 1) * trial["sd"] ** 2 for trial in settings) / freedom
    best = settings[0]

    def margin(trial: Row) -> float:
        error = math.sqrt(variance * (1 / len(best["seeds"]) + 1 / len(trial["seeds"])))
        return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error

    return [trial for trial in settings[1:] if number(trial) - number(best) <= margin(trial)]


def _setting(trial: Mapping[str, Any]) -> str:
    """Return the setting of a trial in words, such as "model.beta 4"."""
    return (
        " and ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in trial["override"].items()
        )
        or "the conf as it is"
    )
