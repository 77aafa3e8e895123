"""sweep SWEEP: tries settings of a model with Ray Tune, and writes the best and a table of trials to out/sweep/SWEEP.

    gen-models sweep vae-digits

    best.json      the best setting, {dotted key: value}, which `train` uses, and its metric
    setting.json   this setting alone, on which `train` depends
    trials.json    every trial with its history; for settings with several seeds, their mean and standard deviation
    samples/       64 samples of each trial, if the model draws samples; the noise is the same for all trials
    lineage.json   hashes of what decides the result

Trials that `gen-models play` has trained are only collected. A sweep that was killed continues with the trials that are
not finished, and a sweep that grew with the trials that are new: docs/sweeps.md.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import yaml_file
from pipelines.config.params import params
from pipelines.lineage.audit import run_stage
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce
from pipelines.runtime.words import counted
from pipelines.training.ranking import decided, undecided
from pipelines.training.search import as_it_stands
from pipelines.training.sweep_plan import SweepPlan, sweep_plan
from pipelines.training.trials import Trial, choose


def main(argv: list[str]) -> None:
    key = argument(argv, "sweep", "SWEEP", __doc__)
    with produce(paths.out("sweep", key)) as folder:
        asked = params()
        plan = sweep_plan(asked, key)
        if not plan.is_played():
            from pipelines.training.play import play  # imports Ray, torch and MLflow

            play([plan], {}, asked=asked)
        found, rows = plan.played() or [], plan.rows()
        best = choose(rows, key)
        write(folder, plan, rows, best)
        keep_samples(folder / "samples", found)
        plan.prune(found)  # while nobody else may train this sweep
    print(summary(plan, best, rows))
    if note := replaced(plan, best):
        print(note)


def summary(plan: SweepPlan, best: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line that says which setting the sweep found best, and whether that means much.

    best: the row of that setting in trials.json; rows: all of its rows
    """
    stands = "the conf and what its line sets" if plan.fixed else "the conf as it is"
    setting = ", ".join(f"{key} {value}" for key, value in best["override"].items()) or stands
    sure = f". {said}" if (said := undecided(rows) or decided(rows)) else ""
    settings = sum("of" not in row for row in rows)
    value, of = f"{best['value']:.4g}", counted(settings, "setting")
    if best.get("mean") is not None:
        value = f"{best['mean']:.4g} (mean over {len(best['seeds'])} seeds, standard deviation {best['sd']:.2g})"
        of += f" in {len(rows)} trials"
    return f"sweep {plan.key}: best {plan.conf['metric']} {value} of {of}, with {setting}{sure}"


def replaced(plan: SweepPlan, best: Mapping[str, Any]) -> str:
    """Return a line that says which values of conf/model the best setting replaces, and how to keep one of them.

    Returns "" for a grid, or if no value is replaced.
    """
    if plan.conf["sweep"]["searcher"] == "grid":
        return ""
    stood = {key: value for key, value in as_it_stands(plan.conf).items() if best["override"].get(key, value) != value}
    if not stood:
        return ""
    said = ", ".join(f"{key} {value}" for key, value in stood.items())
    keep = yaml_file.dump({"set": dict(list(stood.items())[:1])})[1:-1]
    return f"sweep {plan.key}: this replaces {said} of its conf; `{keep}` in its line of params.yaml keeps a value"


def keep_samples(folder: Path, trials: Sequence[Trial]) -> None:
    """Copy the samples that each trial drew at its end to trial_0000.npy, trial_0001.npy and so on.

    They are stored as bytes (uint8) if all values are whole numbers from 0 to 255.
    """
    for index, trial in enumerate(trials):
        path = Path(trial.task.folder) / "samples" / f"step_{trial.granted:08d}.npy"
        if not path.is_file():
            continue  # it diverged, or the model draws none
        samples = np.load(path, allow_pickle=False)
        are_bytes = bool((samples == np.clip(np.round(samples), 0, 255)).all())
        folder.mkdir(exist_ok=True)
        name = folder / f"trial_{index:04d}.npy"
        np.save(name, samples.astype(np.uint8) if are_bytes else samples, allow_pickle=False)


def write(folder: Path, plan: SweepPlan, rows: list[dict[str, Any]], best: dict[str, Any]) -> None:
    """Write the files of the stage `sweep`, except the samples, into a folder.

    rows: the rows of trials.json; best: the row of the best setting

    In best.json, "override" is what `train` uses: the values that the sweep's line of params.yaml sets, with the values
    of the best setting. "front" has the metrics on the axes of the report's rate-distortion picture, or null. A setting
    that was trained with several seeds also has "seeds", "mean" and "sd".
    """
    chosen: dict[str, Any] = {
        "metric": plan.conf["metric"],
        "value": best["value"],
        "trial": best["trial"],
        "trials": len(rows),
        "override": {**plan.fixed, **best["override"]},
        "front": plan.conf["sweep"].get("front"),
    }
    chosen |= {name: best[name] for name in ("seeds", "mean", "sd") if name in best}
    (folder / "best.json").write_text(json.dumps(chosen, indent=1))
    (folder / "setting.json").write_text(json.dumps(chosen["override"], indent=1))
    (folder / "lineage.json").write_text(json.dumps(plan.lineage, indent=1, sort_keys=True))
    (folder / "trials.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    run_stage("sweep", main)
