"""Writes a sweep to the store: a run for the sweep, and below it a run for each trial."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.runtime.stage import StageBusyError
from pipelines.tracking.mlflow_run import MlflowRun, Picture
from pipelines.tracking.mlflow_store import SWEEPS, StoreError, translated
from pipelines.tracking.sweep_page import ranking, sweep_page

NOTE = "mlflow.note.content"  # the tag that MLflow shows as a run's description
COMPLETE = "complete"  # the tag of a sweep whose trials and picture are all logged; its value is trials_digest


def record_sweep(key: str, lineage: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> bool:
    """Call `log_sweep`, and return True. If the store fails, print a warning and return False.

    So the stage `sweep` goes on without the store. The arguments are those of `log_sweep`.
    """
    try:
        log_sweep(key, lineage, trials)
    except (StoreError, StageBusyError) as error:
        print(f"warning: {error}; the sweep's result stands, `gen-models register` logs it", file=sys.stderr)
        return False
    return True


def log_sweep(key: str, lineage: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> bool:
    """Log a run for the sweep and, below it, one for each trial; return False if the store has them all.

    key: the name of the sweep; lineage: the content of its lineage.json
    trials: rows of trials.json, with "trial", "override", "value" (None if it diverged), "diverged", "best_step",
    "metrics" (those of the best step) and, if it is known, "history"
    """
    with translated():
        sweep = MlflowRun({**lineage, "run": key}, experiment=SWEEPS)
        digest = trials_digest(trials)
        if sweep.tags().get("recorded") == digest:
            return False
        for trial in trials:
            _log_trial(sweep, key, lineage, trial)
        usable = [trial["value"] for trial in trials if trial["value"] is not None]
        if usable:
            sweep.log([{"step": 0, "metrics": {"best_value": min(usable), **_of_seeds(ranking(trials))}}])
        sweep.tag(NOTE, sweep_page(lineage, trials))
        sweep.end("FINISHED" if usable else "FAILED")
        sweep.tag("recorded", digest)
        return True


def trials_digest(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the hash of the rows of trials.json without their histories.

    A sweep's run in MLflow gets this hash as a tag when the sweep is logged, so that it is not logged again.
    """
    table = [{name: value for name, value in trial.items() if name != "history"} for trial in trials]
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def complete_sweep(
    key: str, lineage: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], draw: Callable[[], Picture | None]
) -> bool:
    """Log a picture of the trials' samples in the run of a sweep that was logged, and tag the run as complete.

    key, lineage, trials: as in `log_sweep`
    draw: returns the picture, or None if there is none; it is called only if the run has no picture

    Returns False if the run was complete before.
    """
    with translated():
        sweep = MlflowRun({**lineage, "run": key}, experiment=SWEEPS)
        digest = trials_digest(trials)
        if sweep.tags().get(COMPLETE) == digest:
            return False
        if not sweep.sample_steps() and (picture := draw()) is not None:
            sweep.log_samples(0, picture)
        sweep.tag(COMPLETE, digest)
        return True


def _of_seeds(ranked: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the best setting's mean over seeds, its standard deviation and the number of seeds; {} without a mean."""
    if not ranked or ranked[0].get("mean") is None:
        return {}
    best = ranked[0]
    return {"best_mean": best["mean"], "best_sd": best["sd"], "seeds": float(len(best["seeds"]))}


def _log_trial(sweep: MlflowRun, key: str, lineage: Mapping[str, Any], trial: Mapping[str, Any]) -> None:
    name = f"{key}/{trial['trial']}"
    seed = {"seed": trial["seed"]} if "seed" in trial else {}
    facts = {**lineage, **seed, "key": f"{lineage['key']}/{trial['trial']}", "run": name}
    facts["params"] = {**trial["override"], **seed}
    run = MlflowRun(facts, experiment=SWEEPS, parent=sweep.run_id, client=sweep.client)
    at_best = [{"step": trial["best_step"], "metrics": trial["metrics"]}] if trial["metrics"] else []
    run.log(trial.get("history") or at_best)
    if trial["value"] is None:
        run.tag("diverged", str(trial.get("diverged")))
    else:
        means = {name: trial[name] for name in ("mean", "sd") if trial.get(name) is not None}
        run.log([{"step": trial["best_step"], "metrics": {"best_value": trial["value"], **means}}])
    run.end("FAILED" if trial["value"] is None else "FINISHED")
