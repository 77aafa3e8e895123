"""The settings that a sweep tries: a function of the space and the seed, known before the first trial runs.

Points of a scrambled Sobol sequence (Owen, 1998) cover the space more evenly than independent draws. The
first trial is the conf as it stands, so that a sweep can only improve on it.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any

from scipy.stats import qmc

from pipelines.config import flat


def settings(conf: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """{dotted key: value} of each trial, budget.trials of them; one, with nothing overridden, for an empty space."""
    space, trials = conf["sweep"]["space"], conf["budget"]["trials"]
    if not space:
        return [{}]
    as_it_stands = {key: flat(conf)[key] for key in space}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # balance asks for powers of two; any number is a valid draw
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
