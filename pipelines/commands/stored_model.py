"""Opens a registered model, or one in a checkpoint's folder, without a server.

The files of a registered version are verified by sha256. Only its checkpoint and its facts are read: no stored code
runs.
"""

import os
from pathlib import Path
from typing import Any

import yaml

from gen_models.checkpoint import MANIFEST, load_model
from gen_models.errors import RegistryError
from pipelines import tracking
from pipelines.registry import serving, versions


def open_model(name: str) -> tuple[Any, dict[str, Any]]:
    """Open and verify NAME[@ALIAS], NAME@VERSION or a checkpoint's folder; return (model, facts for `serving.answer`).

    Raises RegistryError, with the nearest match and what exists, if there is no such model.
    """
    if (Path(name) / MANIFEST).is_file():
        return load_model(Path(name)), serving.facts_of(Path(name))
    model, _, which = name.partition("@")
    if os.sep in name:
        raise RegistryError(f"{name}: no checkpoint in that folder ({MANIFEST} is missing)")
    with tracking.translated():
        client = tracking.open_store()
        folder = versions.folder_of(client, versions.find(client, model, which or "champion"))
    stored = yaml.safe_load((folder / "MLmodel").read_text())
    return load_model(folder / "artifacts" / "checkpoint"), stored["flavors"]["python_function"]["config"]
