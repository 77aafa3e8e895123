"""Opens a registered model, or one in a checkpoint's folder, without a server.

The files of a registered version are verified by sha256. Of these files, only the checkpoint, the calibration scores
and the facts (what the model knows of its training data) are read. The code that is stored with a version does not run.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gen_models.anomalies.calibration import FILE as CALIBRATION
from gen_models.anomalies.calibration import Calibration, load_calibration
from gen_models.checkpoint import MANIFEST, load_model
from gen_models.errors import RegistryError
from pipelines import tracking
from pipelines.registry import names, serving, versions


@dataclass(frozen=True)
class StoredModel:
    """A model that was opened, with what commands need to use it.

    title: NAME@VERSION, or the checkpoint's folder; facts: the event_shape, levels and so on of its data
    (serving.facts_of)
    calibration: the scores of its calibration rows, or None; lineage: the tags of its version, {} for a checkpoint's
    folder
    """

    title: str
    model: Any
    facts: dict[str, Any]
    calibration: Calibration | None
    lineage: Mapping[str, str]


def open_model(name: str) -> tuple[Any, dict[str, Any]]:
    """Open and verify a model, named as for `open_stored`; return (model, facts for `serving.answer`).

    Raises the errors of `open_stored`.
    """
    stored = open_stored(name)
    return stored.model, stored.facts


def checkpoint_in(name: str) -> Path | None:
    """Return the folder of the checkpoint that is, or is in, the folder called `name`; None if there is none."""
    folders = (Path(name), Path(name) / "checkpoint")  # the second one if it is that of a training, out/train/RUN
    return next((folder for folder in folders if (folder / MANIFEST).is_file()), None)


def open_stored(name: str) -> StoredModel:
    """Open and verify a model: NAME[@ALIAS], NAME@VERSION, models:/... or a checkpoint's folder.

    A registered version comes with its calibration, if it has one; a checkpoint's folder has none.

    Raises RegistryError, with the nearest match and what exists, if there is no such model, or if a stored file of the
    version has changed; CheckpointError if the checkpoint in a folder is incomplete or changed.
    """
    if (folder := checkpoint_in(name)) is not None:
        return StoredModel(name, load_model(folder), serving.facts_of(folder), None, {})
    if os.sep in name and not name.startswith(names.SCHEME):
        model, _, number = name.partition("/")
        fix = f"; a version is named {model}@{number}" if number.isdecimal() else ""
        raise RegistryError(f"{name}: no checkpoint in that folder ({MANIFEST} is missing){fix}")
    with tracking.translated():
        client = tracking.open_store(must_exist=True)
        version = names.find(client, name)
        folder = versions.folder_of(client, version)
    stored = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["python_function"]["config"]
    kept = folder / "artifacts" / CALIBRATION
    return StoredModel(
        f"{version.model}@{version.number}",
        load_model(folder / "artifacts" / "checkpoint"),
        stored,
        load_calibration(kept) if kept.is_file() else None,
        version.tags,
    )
