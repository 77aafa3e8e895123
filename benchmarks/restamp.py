"""`python -m benchmarks.restamp benchmarks/trajectories.json`: updates the hashes of rows whose numbers did not change.

A refactoring changes the hash of a row's inputs, but not its figure. This command trains every conf for a few
minibatches and compares the results with the trajectories that were recorded before the change. Only if all are equal
bit for bit, it writes the new hashes into benchmarks/results. Figures and commits stay as they were.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks import (
    ddp,
    decisions,
    engine,
    flows,
    games,
    graph,
    latent,
    loader,
    nodes,
    pipeline,
    plan,
    scoring,
    trajectories,
)
from benchmarks.inputs import Inputs, inputs_from
from pipelines.runtime import paths


def main() -> None:
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restamp", description=__doc__, formatter_class=about)
    parser.add_argument("trajectories", type=Path, help="written before the change by benchmarks.trajectories")
    parser.add_argument("--rows", nargs="*", help="only these rows; by default all")
    asked = parser.parse_args()
    before = json.loads(asked.trajectories.read_text())
    if found := list(trajectories.differences(before, trajectories.trajectories())):
        sys.exit("\n".join([*found, f"{len(found)} numbers differ: run the stale rows again instead"]))
    known = inputs_by_row()
    for path in sorted((paths.root() / "benchmarks" / "results").glob("*.json")):
        row = json.loads(path.read_text())
        if asked.rows and row["name"] not in asked.rows:
            continue
        inputs = known.get(row["name"]) or inputs_from(row["inputs_of"])  # a row that is planned no more
        path.write_text(json.dumps({**row, "inputs": inputs.sha256(), "inputs_of": inputs.as_json()}, indent=1) + "\n")
        print(f"stamped: {row['name']}")


def inputs_by_row() -> dict[str, Inputs]:
    """Return {row: its inputs} for every row that can be measured."""
    found = {name: flows.inputs(row) for name, row in flows.table().items()}
    for family, module in (("latent", latent), ("games", games)):
        found |= {name: plan.inputs(row) for name, row in plan.planned(family, module.MEASURES).items()}
    found |= {name: pipeline.GRAPH if name == "noop-repro" else pipeline.PLAY for name in pipeline.ROWS_OF}
    single = {
        "ddp-ratio": ddp.INPUTS,
        "graph-on-two-nodes": nodes.INPUTS,
        "engine-vs-bare": engine.INPUTS,
        "loader-cost": loader.INPUTS,
        "predict-1m": scoring.INPUTS,
    }
    return {**found, **graph.INPUTS, **decisions.INPUTS, **single}


if __name__ == "__main__":
    main()
