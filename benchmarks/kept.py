"""Keeps a training that several rows share: the first row trains the model, the others open it.

A kept training is found by the hash of everything on which it depends.
"""

import json
import shutil
from collections.abc import Mapping
from typing import Any

from benchmarks import rows, training
from benchmarks.inputs import Inputs
from benchmarks.plan import Row
from gen_models.checkpoint import load_model
from pipelines.config.params import Run
from pipelines.data.store import Dataset
from pipelines.evaluation.trained_run import Trained
from pipelines.lineage.hashing import sha256_json
from pipelines.runtime import paths


def play(row: Row, dataset: Dataset, changes: Mapping[str, Any] | None = None, *, seed: int = 0) -> training.Played:
    """Train the row's model with `changes` to its settings, or return what an earlier call has kept of it."""
    settings = {**row.settings, **(changes or {})}
    inputs = Inputs(["benchmarks.training"], [row.model], [row.data]).sha256()
    facts = [row.model, dataset.sha256, settings, row.steps, seed, inputs, rows.versions()]
    folder = paths.work("figures", "kept", sha256_json(facts))
    if not folder.exists():
        played = training.play(row.model, dataset, settings, steps=row.steps, seed=seed)
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(paths.work("figures", f"{row.model}-{dataset.name}-{seed}", "checkpoint"), new / "checkpoint")
        (new / "played.json").write_text(json.dumps({"seconds": played.seconds, "batch_size": played.batch_size}))
        new.rename(folder)
        return played
    run = Run(key := f"{row.model}-{dataset.name}", row.model, dataset.name, key)
    return training.Played(
        Trained(run, load_model(folder / "checkpoint"), dataset, folder),
        **json.loads((folder / "played.json").read_text()),
    )
