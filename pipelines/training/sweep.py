"""sweep KEY: tries settings of a model with Ray Tune, and writes the best one and a table of trials to out/sweep/KEY.

    best.json      the best setting, {dotted key: value}, which `train` uses, and its metric
    trials.json    every trial with its history
    lineage.json   hashes of what decides the result

A sweep that was killed continues with the trials that are not finished.
"""

import json
from pathlib import Path
from typing import Any

from pipelines import tracking
from pipelines.config.compose import compose
from pipelines.config.params import params
from pipelines.data.store import open_data
from pipelines.lineage import facts
from pipelines.lineage.audit import run_stage
from pipelines.lineage.fingerprint import code_sha256
from pipelines.lineage.hashing import sha256_json
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce
from pipelines.training.ray_tune import advance
from pipelines.training.schedulers import run_schedule
from pipelines.training.trials import choose, plan, row


def main(argv: list[str]) -> None:
    key = argument(argv, "sweep", "SWEEP", __doc__)
    asked = params()
    line = asked.sweep(key)
    conf = compose(line.model, line.data, asked.budget)
    with produce(paths.out("sweep", key)) as folder:
        lineage = lineage_of(conf, line.model, line.data, asked.seed)
        scratch = paths.work("sweep", f"{key}-{lineage['key'][:12]}")
        trials = plan(conf, paths.out("data", line.data), asked.seed, scratch)
        announce(key, conf, len(trials))
        run_schedule(key, conf, [task for _, task in trials], lambda title, *rest: advance(title, conf, *rest))
        rows = [row(index, changes, task, conf["metric"]) for index, (changes, task) in enumerate(trials)]
        best = choose(rows, key)
        write(folder, conf, lineage, rows, best)
        tracking.record_sweep(key, lineage, rows)
    print(
        f"sweep {key}: best {conf['metric']} {best['value']:.4g} of {len(rows)} trials with "
        + (", ".join(f"{key} {value}" for key, value in best["override"].items()) or "the conf as it is")
    )


def lineage_of(conf: dict[str, Any], model: str, data: str, seed: int) -> dict[str, Any]:
    """Return the lineage of a sweep: the seed and hashes of the conf, data and code that decide it, and its key."""
    decides = {
        "conf_sha256": sha256_json(conf),
        "data_sha256": open_data(data).sha256,
        "code_sha256": code_sha256("sweep", model),
        "seed": seed,
    }
    return {**decides, "key": facts.key(stage="sweep", **decides), "git_commit": facts.git_commit(), "data": data}


def announce(key: str, conf: dict[str, Any], trials: int) -> None:
    """Print, before the sweep starts, how many trials and steps it has."""
    steps = conf["budget"]["trial_steps"]
    space = ", ".join(conf["sweep"]["space"]) or "nothing"
    print(
        f"sweep {key}: {trials} trials x {steps} minibatches of {conf['batch_size']} = {trials * steps} steps, "
        f"over {space}; by {conf['metric']} on validation data, scheduler {conf['sweep']['scheduler']}",
        flush=True,
    )


def write(
    folder: Path, conf: dict[str, Any], lineage: dict[str, Any], rows: list[dict[str, Any]], best: dict[str, Any]
) -> None:
    """Write the stage's files into a folder.

    best.json has "front", the names of the metrics on the axes of the report's rate-distortion picture, or null.
    """
    chosen = {
        "metric": conf["metric"],
        "value": best["value"],
        "trial": best["trial"],
        "trials": len(rows),
        "override": best["override"],
        "front": conf["sweep"].get("front"),
    }
    (folder / "best.json").write_text(json.dumps(chosen, indent=1))
    (folder / "lineage.json").write_text(json.dumps(lineage, indent=1, sort_keys=True))
    (folder / "trials.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    run_stage("sweep", main)
