"""A project folder of a few seconds: this one's code and conf, one sweep, one run, a tiny budget."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent.parent
TINY = {"name": "tiny", "steps": 600, "trial_steps": 200, "trials": 4, "reports": 10, "checkpoints": 5}


def params_of(
    sweeps: Mapping[str, tuple[str, str]], reuses: Mapping[str, tuple[str, str, str]] | None = None, **others: object
) -> dict:
    """params.yaml of sweeps {key: (model, data)} and reuses {key: (model, data, setting)}."""
    swept = {key: dict(zip(("model", "data"), line, strict=True)) for key, line in sweeps.items()}
    reused = {key: dict(zip(("model", "data", "setting"), line, strict=True)) for key, line in (reuses or {}).items()}
    data = list(dict.fromkeys(line["data"] for line in (*swept.values(), *reused.values())))
    head = {"seed": 0, "budget": "tiny", "workers": 1, "data": data}
    return {**head, **others, "sweeps": swept, "reuses": reused, "runs": {**swept, **reused}}


def write_params(folder: Path, params: Mapping[str, object]) -> None:
    """Write a project's params.yaml."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


PARAMS = params_of({"vae-digits": ("vae", "digits")})


def make_project(folder: Path, params: dict | None = None, budget: dict | None = None) -> Path:
    """Copy what git would (no outputs), and write params.yaml and conf/budget/tiny.yaml."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("gen_models", "pipelines", "conf"):
        shutil.copytree(HERE / name, folder / name, ignore=ignore)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", "pyproject.toml", "requirements.lock"):
        shutil.copy(HERE / name, folder / name)
    (folder / ".dvc").mkdir()
    shutil.copy(HERE / ".dvc" / "config", folder / ".dvc" / "config")
    write_params(folder, params or PARAMS)
    (folder / "conf" / "budget" / "tiny.yaml").write_text(yaml.safe_dump({**TINY, **(budget or {})}))
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "a project")):
        command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", *words]
        subprocess.run(command, cwd=folder, check=True)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """That of a person in the project's folder: this interpreter's commands, the folder's own code."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GEN_MODELS", "RAY_", "MLFLOW_", "DVC_", "GIT_"))}
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(folder), "GIT_CEILING_DIRECTORIES": str(folder.parent)}


def start(folder: Path, *command: str, log: str = "log") -> subprocess.Popen:
    """A command in the project's folder, in a process group of its own, its output in a file beside the project."""
    with (folder.parent / f"{folder.name}.{log}").open("ab") as file:
        return subprocess.Popen(
            command, cwd=folder, env=environment(folder), stdout=file, stderr=file, start_new_session=True
        )


def call(folder: Path, *command: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
    """A command to its end, its output as text."""
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=seconds)


def candidates(folder: Path) -> dict[str, str]:
    """{run: version} of the alias candidate in the project's store, as its file has it."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        found = store.execute("select name, version from registered_model_aliases where alias = 'candidate'")
        return {name: str(version) for name, version in found.fetchall()}
