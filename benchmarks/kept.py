"""A training that several rows share, kept by all that it depends on: the first row plays it, the others open it."""

import json
import shutil
from collections.abc import Mapping
from typing import Any

from benchmarks import rows, training
from benchmarks.plan import Row
from gen_models.checkpoint import load_model
from pipelines import lineage
from pipelines.config import Run
from pipelines.data.store import Dataset
from pipelines.evaluation.trained_run import Trained
from pipelines.runtime import paths


def play(row: Row, dataset: Dataset, changes: Mapping[str, Any] | None = None, *, seed: int = 0) -> training.Played:
    """training.play of the row's model with `changes` of its settings, or what an earlier call left of the same."""
    settings = {**row.settings, **(changes or {})}
    code = [name for name in row.inputs if not name.startswith("benchmarks/")]
    inputs = rows.inputs_sha256([*training.INPUTS, *code])
    facts = [row.model, dataset.sha256, settings, row.steps, seed, inputs, rows.versions()]
    folder = paths.work("figures", "kept", lineage.sha256_json(facts))
    if not folder.exists():
        played = training.play(row.model, dataset, settings, steps=row.steps, seed=seed)
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(paths.work("figures", f"{row.model}-{dataset.name}-{seed}", "best"), new / "best")
        (new / "played.json").write_text(json.dumps({"seconds": played.seconds, "batch_size": played.batch_size}))
        new.rename(folder)
        return played
    run = Run(f"{row.model}-{dataset.name}", row.model, "", dataset.name, None)
    return training.Played(
        Trained(run, load_model(folder / "best"), dataset), **json.loads((folder / "played.json").read_text())
    )
