"""Ranks the settings of a sweep by the rows of trials.json, and says if they differ too little for a choice."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, TypeVar

Row = TypeVar("Row", bound=Mapping[str, Any])

HARDLY = 1e-3  # of the best value: below this, seeds and minibatches decide
FEWEST = 3  # settings
CONFIDENCE = 0.95
APART = 3  # seeds of each setting
MOST_NAMED = 3


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

    They are if all settings hardly differ (fewer than FEWEST never count as such), if the means over seeds of some are
    as good as the best one's, or if seeds tell the two best apart that hardly differ. trials: as for `ranking`
    """
    values = [number(trial) for trial in ranking(trials)]
    if len(values) >= FEWEST and max(values) - min(values) < HARDLY * abs(min(values)):
        return (
            f"The choice means little: the best and the worst of {len(values)} settings differ by less than "
            f"{HARDLY:.1%}. More trial_steps may tell them apart."
        )
    if not (alike := as_good(trials)):
        return _hardly(trials)
    best, more = ranking(trials)[0], len(alike) - MOST_NAMED
    names = ", ".join(_named(trial) for trial in alike[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"The seeds do not tell {_named(best)} from {names}: give more seeds before you rely on the difference."


def _hardly(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence that says that the two best means over seeds hardly differ, or "" if they do not."""
    means = [trial for trial in ranking(trials) if trial.get("sd") is not None]
    if len(means) < 2 or (gap := number(means[1]) - number(means[0])) >= HARDLY * abs(number(means[0])):
        return ""
    return (
        f"The choice between {_named(means[0])} and {_named(means[1])} means little: they differ by {gap:.2g}, less "
        f"than {HARDLY:.1%}, whatever the seeds say."
    )


def decided(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence that says how much better the best setting is than the next; "" if that is not clear.

    trials: as for `ranking`; settings with one seed are left out
    """
    settings = [trial for trial in ranking(trials) if trial.get("sd") is not None]
    if len(settings) < 2 or undecided(trials):
        return ""
    differences = _differences(_by_seed(trials, settings[0]), _by_seed(trials, settings[1]))
    said = f"Better than the next, {_named(settings[1])}, by {fmean(differences):.3g}"
    reach = _reach(differences)
    if reach < fmean(differences):
        low, high = fmean(differences) - reach, fmean(differences) + reach
        return f"{said} (95% interval of the difference, seed by seed: {low:.3g} to {high:.3g})."
    return f"{said}: the worst of its {len(differences)} seeds is better than the best of the other's."


def as_good(trials: Sequence[Row]) -> list[Row]:
    """Return the settings whose means over seeds do not clearly differ from the best one's, the nearest first.

    A difference is clear if it is outside the 95% interval of Student's t for the differences seed by seed: settings
    with the same seeds have the same first weights, order of rows and noise. It is clear, too, if each of APART or more
    seeds gives the one a better value than any gives the other: where a rate lets values explode, they are so far apart
    that the interval holds 0, and with three seeds chance alone orders them so one time in twenty. That the best was
    chosen among several is not corrected for, so that a few more settings may be as good. Settings with one seed, or of
    which a seed diverged, are left out. trials: as for `ranking`
    """
    settings = [trial for trial in ranking(trials) if trial.get("sd") is not None]
    return [trial for trial in settings[1:] if not _is_clear(_by_seed(trials, settings[0]), _by_seed(trials, trial))]


def _is_clear(a: Mapping[int, float], b: Mapping[int, float]) -> bool:
    """Return whether the means of two settings clearly differ. a, b: {seed: value}"""
    if min(len(a), len(b)) >= APART and (max(a.values()) < min(b.values()) or max(b.values()) < min(a.values())):
        return True
    differences = _differences(a, b)
    return len(differences) > 1 and abs(fmean(differences)) > _reach(differences)


def _differences(a: Mapping[int, float], b: Mapping[int, float]) -> list[float]:
    """Return b - a for each seed that both settings have. a, b: {seed: value}"""
    return [b[seed] - a[seed] for seed in sorted(a.keys() & b.keys())]


def _reach(differences: Sequence[float]) -> float:
    """Return half the length of the interval of Student's t for the mean of the differences, of which there are two."""
    from scipy.special import stdtrit  # a tenth of a second

    scale = stdev(differences) / math.sqrt(len(differences))
    return float(stdtrit(len(differences) - 1, (1 + CONFIDENCE) / 2)) * scale


def of_setting(trials: Sequence[Row], first: Row) -> list[Row]:
    """Return the trials of one setting, one for each seed, of which `first` is the first."""
    return [trial for trial in trials if trial is first or trial.get("of") == first["trial"]]


def _by_seed(trials: Sequence[Mapping[str, Any]], first: Mapping[str, Any]) -> dict[int, float]:
    """Return {seed: value} of the setting of which `first` is the first trial."""
    return {trial["seed"]: trial["value"] for trial in of_setting(trials, first) if trial["value"] is not None}


def _named(trial: Mapping[str, Any]) -> str:
    """Return a trial with its setting and the mean over its seeds, such as "trial 2 (model.beta 4, mean 184.3)"."""
    shown = {key: f"{of:.4g}" if isinstance(of, float) else str(of) for key, of in trial["override"].items()}
    words = [f"{key} {of}" for key, of in shown.items()] + [f"mean {trial['mean']:.4g}"]
    return f"trial {trial['trial']}" + (f" ({', '.join(words)})" if words else "")
