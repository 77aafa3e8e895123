"""Chooses the settings that a sweep tries. They depend only on the conf and the seed, not on results.

They are points of a scrambled Sobol sequence (Owen, 1998), which cover the space more evenly than independent draws.
The first trial has the settings of the conf, so a sweep can only improve on them.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any

from scipy.stats import qmc

from pipelines.config.compose import flat


def settings(conf: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """Return {dotted key: value} for each trial; there are budget.trials of them.

    If the space is empty, there is one trial, which overrides nothing.
    """
    space, trials = conf["sweep"]["space"], conf["budget"]["trials"]
    if not space:
        return [{}]
    as_it_stands = {key: flat(conf)[key] for key in space}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it warns unless the count is a power of two; any count is valid
        points = qmc.Sobol(len(space), seed=seed).random(max(1, trials - 1))
    tried = [{key: _draw(draw, u) for (key, draw), u in zip(space.items(), point, strict=True)} for point in points]
    return [as_it_stands, *tried[: trials - 1]]


def _draw(draw: Mapping[str, Any], u: float) -> Any:
    ((kind, values),) = draw.items()
    if kind == "choice":
        return values[min(int(u * len(values)), len(values) - 1)]
    low, high = values
    if kind == "uniform":
        return low + u * (high - low)
    return float(f"{math.exp(math.log(low) + u * (math.log(high) - math.log(low))):.4g}")  # loguniform, readable
