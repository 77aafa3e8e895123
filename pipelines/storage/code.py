"""Copies the project's code, without outputs, to a folder, which Ray sends to machines that do not have the code."""

import shutil
from pathlib import Path

from pipelines.lineage.hashing import sha256_json
from pipelines.runtime import paths

SENT = ("gen_models", "pipelines", "conf", "params.yaml")  # what a worker imports and reads


def code_folder() -> Path:
    """Return a folder in work/ with a copy of the code.

    If the code has changed since the last copy, make a new copy and remove the old one.
    """
    root = paths.root()
    files = [path for name in SENT for path in sorted(_files(root / name))]
    digest = sha256_json({path.relative_to(root).as_posix(): path.read_bytes().hex() for path in files})
    folder = paths.work("cluster", f"code-{digest[:12]}")
    if not folder.is_dir():
        for old in folder.parent.glob("code-*"):
            shutil.rmtree(old, ignore_errors=True)
        fresh = folder.with_name(f".{folder.name}.unfinished")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for path in files:
            to = fresh / path.relative_to(root)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
        fresh.rename(folder)
    return folder


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [
        path
        for path in place.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]
