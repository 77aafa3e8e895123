"""Chooses the settings that a sweep tries, for the searchers that do not learn from results.

sobol    points of a scrambled Sobol sequence (Owen, 1998), which cover the space more evenly than independent draws
random   independent draws
grid     every combination of a space of choices, in the order in which the conf names them

The settings depend on the conf and the seed alone. The first trial of sobol and random has the settings of the conf, so
a sweep can only improve on them. No setting is tried twice: a space of choices that has at most budget.trials points is
tried as a whole. The first n settings do not depend on how many follow, so a sweep that grows keeps those that it has.
`tpe`, which learns from results, is in tpe.py.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product
from typing import Any

import numpy as np

from gen_models.errors import ConfigError
from pipelines.config import yaml_file
from pipelines.config.compose import flat

Setting = dict[str, Any]  # {dotted key: value}
MOST_DRAWS = 1 << 14  # after so many draws without a new point, a search ends


def settings(conf: Mapping[str, Any], seed: int) -> list[Setting]:
    """Return the setting of each trial: budget.trials of them, or fewer if the space has fewer points.

    A grid gives every combination. If the space is empty, there is one trial, which overrides nothing. Raises
    ConfigError for a grid of ranges.
    """
    sweep, trials = conf["sweep"], conf["budget"]["trials"]
    space = sweep["space"]
    if not space:
        return [{}]
    if sweep["searcher"] == "grid":
        return grid(space)
    whole = points(space)
    if whole is not None and len(tried := distinct([as_it_stands(conf), *whole])) <= trials:
        return tried
    draws = {"sobol": _sobol, "random": _random}[sweep["searcher"]](space, seed, trials)
    return list(islice(_distinct(islice(_first(as_it_stands(conf), draws), MOST_DRAWS)), trials))


def as_it_stands(conf: Mapping[str, Any]) -> Setting:
    """Return the values that a conf itself has for the keys of its search space, sweep.space."""
    known = flat({key: value for key, value in conf.items() if key != "sweep"})
    return {key: known[key] for key in conf["sweep"]["space"]}


def grid(space: Mapping[str, Any]) -> list[Setting]:
    """Return every combination of a space of choices. Raises ConfigError if a key has a range."""
    for key, draw in space.items():
        if "choice" not in draw:
            ends: dict[str, list[Any]] = {
                one: list(*of.values()) for one, of in space.items()
            }  # of a range, its two ends
            raise ConfigError(
                f"sweep.searcher: grid takes choices only; {key} is {next(iter(draw))}: in the sweep's line, write the "
                f"values to try, such as `grid: {yaml_file.dump(ends)}`, in place of sweep.searcher"
            )
    return distinct(points(space) or [])


def points(space: Mapping[str, Any]) -> list[Setting] | None:
    """Return every combination of a space of choices; None if a key has a range, or for more than MOST_DRAWS."""
    if not all("choice" in draw for draw in space.values()):
        return None
    values = [draw["choice"] for draw in space.values()]
    if math.prod(len(choices) for choices in values) > MOST_DRAWS:
        return None
    return [dict(zip(space, point, strict=True)) for point in product(*values)]


def distinct(found: Iterable[Setting]) -> list[Setting]:
    """Return the settings without those that repeat an earlier one."""
    return list(_distinct(found))


def known_as(setting: Setting) -> tuple[tuple[str, str], ...]:
    """Return a hashable form of a setting, the same for settings with equal values; 1 and 1.0 are equal."""
    return tuple((key, repr(_plain(value))) for key, value in sorted(setting.items()))


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _distinct(found: Iterable[Setting]) -> Iterator[Setting]:
    seen = set()
    for setting in found:
        if (name := known_as(setting)) not in seen:
            seen.add(name)
            yield setting


def _first(setting: Setting, others: Iterable[Setting]) -> Iterator[Setting]:
    yield setting
    yield from others


def _sobol(space: Mapping[str, Any], seed: int, trials: int) -> Iterator[Setting]:
    from scipy.stats import qmc

    sampler = qmc.Sobol(len(space), seed=seed)
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # unless the count is a power of two; any count is valid
            batch = sampler.random(max(1, trials - 1))
        yield from (_setting(space, point) for point in batch)


def _random(space: Mapping[str, Any], seed: int, trials: int) -> Iterator[Setting]:
    generator = np.random.default_rng(seed)
    while True:
        yield _setting(space, generator.random(len(space)))


def _setting(space: Mapping[str, Any], point: Iterable[float]) -> Setting:
    return {key: _draw(draw, u) for (key, draw), u in zip(space.items(), point, strict=True)}


def _draw(draw: Mapping[str, Any], u: float) -> Any:
    ((kind, values),) = draw.items()
    if kind == "choice":
        return values[min(int(u * len(values)), len(values) - 1)]
    low, high = values
    if kind == "uniform":
        return float(low + u * (high - low))
    return readable(math.exp(math.log(low) + u * (math.log(high) - math.log(low))))


def readable(value: float) -> float:
    """Return a number rounded to four significant digits."""
    return float(f"{value:.4g}")
