"""The facts that are written beside a result: its key, the git commit, the versions of packages, and the settings.

The key is the hash of everything that decides a result. Two trainings with the same key end with the same bits.
Therefore the key names the folder in which a killed training resumes, and a training's run in MLflow is found by it.
"""

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.lineage.hashing import sha256_json
from pipelines.runtime import paths

PLACES = ("path", "labels", "folder", "sha256")  # options of conf/data that say where data are


def key(**facts: Any) -> str:
    """Return the key of a result: the hash of `facts` and of the versions of Python, torch and numpy.

    facts: everything else that decides the result, such as the hashes of its conf, data and code
    """
    return sha256_json({**facts, "versions": versions()})


def key_of(folder: Path) -> str | None:
    """Return the key of the result in a stage's output folder, or None if there is no result."""
    path = folder / "lineage.json"
    return json.loads(path.read_text())["key"] if path.is_file() else None


def versions() -> dict[str, str]:
    """Return the versions of Python, torch and numpy: {"python": "3.11.4", ...}."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("torch", "numpy")}}


def git_commit() -> str:
    """Return the commit of the code's folder; "none" if the folder is in no git repository.

    If tracked files differ from the commit, "+changes" is added. Changes of dvc.lock do not count.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude,glob)**/dvc.lock")
        return commit + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def deciding(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return a composed configuration without the places of data files: the hash of the data covers their content."""
    options = {name: value for name, value in (conf["data"].get("options") or {}).items() if name not in PLACES}
    return {**conf, "data": {**conf["data"], "options": options}}


def params_of(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a conf by which people compare runs, {dotted key: value}.

    These are the settings of model, optimisers, batch, order of play, schedule, clipping, and the budget of one
    training. The budget's other numbers are those of a sweep, which a line of params.yaml can change.
    """
    from pipelines.config.compose import flat

    kept = {name: conf[name] for name in ("model", "optim", "batch_size", "order", "schedule", "clip_norm")}
    return flat({**kept, "budget": {name: conf["budget"][name] for name in ("steps", "reports", "checkpoints")}})


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=paths.source(), capture_output=True, text=True, check=True)
    return done.stdout.strip()
