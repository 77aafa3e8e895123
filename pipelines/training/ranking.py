"""Ranks the settings of a sweep by the rows of trials.json, and says if they differ too little for a choice."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Row = TypeVar("Row", bound=Mapping[str, Any])

HARDLY = 1e-3  # of the best value: below this, seeds and minibatches decide
FEWEST = 3  # settings


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
    """Return a sentence that says that the settings of a sweep hardly differ, or "" if they differ enough.

    Fewer than FEWEST settings always count as different enough. trials: as for `ranking`
    """
    values = [number(trial) for trial in ranking(trials)]
    if len(values) < FEWEST or max(values) - min(values) >= HARDLY * abs(min(values)):
        return ""
    return (
        f"The choice means little: the best and the worst of {len(values)} settings differ by less than {HARDLY:.1%}. "
        "More trial_steps, or a model that has not collapsed, may tell them apart."
    )
