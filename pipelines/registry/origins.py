"""Makes the tags that say where a version comes from, with which each part can be checked again later.

They are added to the tags of the version's lineage (register.py):

code_sha256, code_files     the hash of the code that trained it, and the hash of each file of this code
versions                    of Python, torch and numpy
params                      the settings by which people compare runs
workers, steps              of the training
sweep, sweep_key, trial     the sweep whose best setting it has, the sweep's key, and the number of the best trial
source                      {"sha256", "files", "bytes"} of the files that the data were prepared from, and under
                            "read" their paths as conf/data has them; only if there are any
data_seed                   the seed of the prepared data, which decides the split
outputs                     {file of out/train/RUN and out/evaluate/RUN: sha256}, as they were registered last
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from pipelines.config.conf_files import data_conf
from pipelines.config.data_files import named_paths
from pipelines.config.params import params
from pipelines.data.rows_hash import rows_sha256
from pipelines.data.store import manifest_of
from pipelines.lineage.hashing import file_sha256, sha256_json
from pipelines.runtime import paths

MOST_TAG = 90_000  # characters; MLflow takes 100,000
OUTPUTS = ("train", "evaluate")


def recorded(lineage: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of this module, except `outputs`, for a training in out/train.

    What is not known, or too long for a tag, is left out. lineage: the content of out/train/RUN/lineage.json
    """
    found: dict[str, Any] = {
        "code_sha256": lineage.get("code_sha256"),
        "code_files": _code(lineage),
        "versions": lineage.get("versions"),
        "params": lineage.get("params"),
        "workers": lineage.get("workers"),
        "steps": lineage.get("steps"),
        "source": _source(lineage),
        "data_seed": _manifest(lineage).get("seed", lineage.get("seed")),
        **_sweep(lineage),
    }
    texts = {name: _text(value) for name, value in found.items() if value is not None}
    return {name: text for name, text in texts.items() if len(text) <= MOST_TAG}


def rows(lineage: Mapping[str, Any]) -> dict[str, str]:
    """Return {"rows_sha256": the hash of the data's rows}; {} if the prepared data are missing or others by now."""
    manifest = _manifest(lineage)
    return {"rows_sha256": rows_sha256(manifest)} if manifest else {}


def outputs(run: str) -> dict[str, str]:
    """Return {"outputs": the hashes of a run's output files}, as JSON; {} if they are too many for a tag."""
    text = _text(hashes_of(run))
    return {"outputs": text} if len(text) <= MOST_TAG else {}


def hashes_of(run: str) -> dict[str, str]:
    """Return {path below the project: sha256} of the files of out/train/RUN and out/evaluate/RUN."""
    found = {}
    for stage in OUTPUTS:
        for path in sorted(paths.out(stage, run).rglob("*")):
            if path.is_file():
                found[path.relative_to(paths.root()).as_posix()] = file_sha256(path)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _code(lineage: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the hashes of the files of code that the stage `code` wrote; None if the training used other code."""
    found = _json(paths.out("code", "train", f"{lineage['model']}.json"))
    return found if found is not None and sha256_json(found) == lineage.get("code_sha256") else None


def _manifest(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of the prepared data; {} if the data are missing or not those of the training."""
    try:
        manifest = manifest_of(lineage["data"])
    except GenModelsError:
        return {}
    return manifest if manifest["sha256"] == lineage["data_sha256"] else {}


def _source(lineage: Mapping[str, Any]) -> dict[str, Any] | None:
    origin = _manifest(lineage).get("origin")
    if not origin:
        return origin
    try:
        return {**origin, "read": named_paths(data_conf(lineage["data"]).get("options"))}
    except GenModelsError:
        return origin


def _sweep(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags on a run's sweep; {} if the run was not trained with the sweep's present best setting."""
    sweep = run = lineage["run"]
    if not paths.out("sweep", run, "lineage.json").is_file():  # a line under reuses
        try:
            sweep = params().run(run).setting
        except GenModelsError:
            return {}
    best = _json(paths.out("sweep", sweep, "best.json"))
    swept = _json(paths.out("sweep", sweep, "lineage.json"))
    trained_with = lineage.get("params", {})
    if best is None or any(trained_with.get(key, value) != value for key, value in best.get("override", {}).items()):
        return {}
    return {"sweep": sweep, "sweep_key": (swept or {}).get("key"), "trial": best.get("trial")}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
