"""sweep SWEEP: tries settings of a model with Ray Tune, and writes the best and a table of trials to out/sweep/SWEEP.

    gen-models sweep vae-digits

    best.json      the best setting, {dotted key: value}, which `train` uses, and its metric
    trials.json    every trial with its history
    lineage.json   hashes of what decides the result

Trials that `gen-models play` has trained are only collected. A sweep that was killed continues with the trials that are
not finished.
"""

import json
from pathlib import Path
from typing import Any

from pipelines.config.params import params
from pipelines.lineage.audit import run_stage
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce
from pipelines.training.sweep_plan import SweepPlan, sweep_plan
from pipelines.training.trials import choose


def main(argv: list[str]) -> None:
    key = argument(argv, "sweep", "SWEEP", __doc__)
    with produce(paths.out("sweep", key)) as folder:
        asked = params()
        plan = sweep_plan(asked, key)
        if not plan.is_played():
            from pipelines.training.play import play  # imports Ray, torch and MLflow

            play([plan], {}, asked=asked)
        rows = plan.rows()
        best = choose(rows, key)
        write(folder, plan, rows, best)
    print(summary(plan, best))


def summary(plan: SweepPlan, best: dict[str, Any]) -> str:
    """Return a line that says what the sweep found best. best: a row of trials.json."""
    setting = ", ".join(f"{key} {value}" for key, value in best["override"].items()) or "the conf as it is"
    return (
        f"sweep {plan.key}: best {plan.conf['metric']} {best['value']:.4g} of {len(plan.trials)} trials with {setting}"
    )


def write(folder: Path, plan: SweepPlan, rows: list[dict[str, Any]], best: dict[str, Any]) -> None:
    """Write the stage's files into a folder.

    best.json has "front", the names of the metrics on the axes of the report's rate-distortion picture, or null.
    """
    chosen = {
        "metric": plan.conf["metric"],
        "value": best["value"],
        "trial": best["trial"],
        "trials": len(rows),
        "override": best["override"],
        "front": plan.conf["sweep"].get("front"),
    }
    (folder / "best.json").write_text(json.dumps(chosen, indent=1))
    (folder / "lineage.json").write_text(json.dumps(plan.lineage, indent=1, sort_keys=True))
    (folder / "trials.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    run_stage("sweep", main)
