"""Where a result came from, as data: the hashes of conf, data and code, the seed, the commit.

`key` is the hash of all that decides a result; two works of the same key end bit for bit alike, so it
names the folder that a killed one resumes in, and finds its run in MLflow.
"""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.runtime import paths

SHARED = (
    "gen_models/contracts.py",
    "gen_models/engine.py",
    "gen_models/build.py",
    "gen_models/checkpoint.py",
    "gen_models/loader.py",
    "gen_models/noise.py",
    "gen_models/schedules.py",
    "gen_models/workers.py",
    "gen_models/likelihood.py",
    "gen_models/measures",
    "gen_models/evaluating.py",
    "gen_models/layers",
    "gen_models/bijections",
    "pipelines/training/run_log.py",
    "pipelines/training/trainer.py",
    "pipelines/data/store.py",
)


def sha256_json(value: Any) -> str:
    """The hash of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def code_sha256(family: str) -> str:
    """The hash of the code that decides a result of this family: what all share, and its own folder."""
    files = _files([*SHARED, f"gen_models/{family}"])
    return sha256_json({str(path.relative_to(paths.root())): _sha256(path) for path in files})


def key(**facts: Any) -> str:
    """The hash of all that decides a result, with the versions that it was computed by."""
    return sha256_json({**facts, "versions": versions()})


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in ("torch", "numpy")}}


def git_commit() -> str:
    """The commit of the project folder, with "+changes" where files differ from it; "none" outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + (
            "+changes" if _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "none"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=paths.root(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _files(names: Iterable[str]) -> list[Path]:
    found: list[Path] = []
    for name in names:
        path = paths.root() / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.is_file() else []
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def params_of(conf: Mapping[str, Any]) -> dict[str, Any]:
    """What a person compares between runs: the numbers of model, optimisers, batch and budget, by dotted key."""
    from pipelines.config import flat

    kept = ("model", "optim", "batch_size", "order", "schedule", "clip_norm", "budget")
    return flat({name: conf[name] for name in kept})
