"""Says if the settings of a sweep differ too little for a choice among them."""

from collections.abc import Mapping, Sequence
from typing import Any

HARDLY = 1e-3  # of the best value: below this, seeds and minibatches decide
FEWEST = 3  # settings


def undecided(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence that says that the settings of a sweep hardly differ, or "" if they do.

    trials: the rows of trials.json
    """
    values = [one.get("mean") or one["value"] for one in trials if one["value"] is not None and "of" not in one]
    if len(values) < FEWEST or max(values) - min(values) >= HARDLY * abs(min(values)):
        return ""
    return (
        f"The choice means little: the best and the worst of {len(values)} settings differ by less than {HARDLY:.1%}. "
        "More trial_steps, or a model that has not collapsed, may tell them apart."
    )
