"""Chooses settings by Optuna's tree-structured Parzen estimator (Bergstra et al., 2011), which learns from results.

For each new setting, the estimator is made anew from the results in the trials' run logs, with a random generator of
its own. So a suggestion depends only on the conf, the seed and the earlier results, and a sweep that was killed goes on
as if nothing had happened. The trials come in batches of BATCH: the settings of a batch are suggested from the results
of the batches before.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gen_models.errors import GenModelsError
from pipelines.training.search import Setting, known_as, readable, settings

BATCH = 4  # trials that may be trained at once; the first batch is that of the searcher sobol
TRIES = 32  # how often a suggestion is drawn again, if its setting was tried before


class MissingLibraryError(GenModelsError):
    """An optional library is not installed."""


def suggest(conf: Mapping[str, Any], seed: int, told: Sequence[tuple[Setting, float]]) -> list[Setting]:
    """Return the settings of the next batch; [] if budget.trials is reached, or no point of the space is left.

    told: (setting, value) of all trials so far, which have ended; lower values are better

    Raises MissingLibraryError if Optuna is not installed.
    """
    optuna = _optuna()  # also for the first batch, which does not need it: better now than after hours
    known = {known_as(setting) for setting, _ in told}
    spread = settings({**conf, "sweep": {**conf["sweep"], "searcher": "sobol"}}, seed)
    if not told or not conf["sweep"]["space"]:
        return [one for one in spread[:BATCH] if known_as(one) not in known]
    batch: list[Setting] = []
    for number in range(len(told), min(len(told) + BATCH, conf["budget"]["trials"])):
        new = _suggest(optuna, conf["sweep"]["space"], seed, number, told, batch, known)
        new = new or next((one for one in spread if known_as(one) not in known), None)
        if new is None:
            break
        known.add(known_as(new))
        batch.append(new)
    return batch


def _suggest(
    optuna: Any,
    space: Mapping[str, Any],
    seed: int,
    number: int,
    told: Sequence[tuple[Setting, float]],
    pending: Sequence[Setting],
    known: set,
) -> Setting | None:
    """Return a setting that was not tried before, or None if TRIES suggestions were all tried before.

    number: the index of the trial in the sweep; told: (setting, value) of the trials that have ended; pending: the
    settings of the same batch so far; known: known_as of all settings that were tried or are pending
    """
    kinds = {key: _distribution(optuna, draw) for key, draw in space.items()}
    trial = optuna.trial.create_trial
    inside = [(setting, value) for setting, value in told if _is_inside(space, setting)]
    for attempt in range(TRIES):
        drawn = int(np.random.SeedSequence([seed, number, attempt]).generate_state(1)[0])
        sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=min(BATCH, len(inside)))
        study = optuna.create_study(sampler=sampler)
        for setting, value in inside:
            study.add_trial(trial(params=_params(space, setting), distributions=kinds, value=value))
        for setting in pending:
            if _is_inside(space, setting):
                running = optuna.trial.TrialState.RUNNING
                study.add_trial(trial(params=_params(space, setting), distributions=kinds, state=running))
        new = _setting(space, study.ask(kinds).params)
        if known_as(new) not in known:
            return new
    return None


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingLibraryError(
            "sweep.searcher: tpe needs Optuna, which is not installed: run `pip install optuna`"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distribution(optuna: Any, draw: Mapping[str, Any]) -> Any:
    ((kind, values),) = draw.items()
    if kind == "choice":
        return optuna.distributions.CategoricalDistribution(list(range(len(values))))  # choices may be lists
    return optuna.distributions.FloatDistribution(*values, log=kind == "loguniform")


def _is_inside(space: Mapping[str, Any], setting: Setting) -> bool:
    """Return whether a setting lies inside the space: only then may Optuna be told of it.

    The setting of the conf, which is tried first, may lie outside.
    """
    for key, draw in space.items():
        ((kind, values),) = draw.items()
        if setting[key] is None and kind != "choice":  # a conf may have null where the space has a range
            return False
        if setting[key] not in values if kind == "choice" else not values[0] <= setting[key] <= values[1]:
            return False
    return True


def _params(space: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    return {
        key: draw["choice"].index(setting[key]) if "choice" in draw else setting[key] for key, draw in space.items()
    }


def _setting(space: Mapping[str, Any], params: Mapping[str, Any]) -> Setting:
    new = {}
    for key, draw in space.items():
        ((kind, values),) = draw.items()
        drawn = params[key]
        if kind == "choice":
            new[key] = values[drawn]
        else:
            new[key] = min(max(readable(drawn), values[0]), values[1]) if kind == "loguniform" else drawn
    return new
