"""A checkpoint as a folder of files: verified by its manifest, and replaced as a whole.

This module needs no torch. Stages that copy a checkpoint without loading its model use it, and start without importing
torch, which takes seconds.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from gen_models.errors import CheckpointError

MANIFEST, RESUME, DATA = "manifest.json", "resume.json", "data.json"


def verify(folder: Path) -> dict[str, Any]:
    """Compare the size and sha256 of each file with the manifest, and return the manifest.

    Raises CheckpointError for the first file that differs.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        files = manifest["files"]
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no {MANIFEST} there; not a checkpoint, or an unfinished one") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); take another copy of the checkpoint") from None
    for name, expected in files.items():
        found = fact(folder / name)
        if found != expected:
            what = "missing" if found is None else f"{found['bytes']} bytes, sha256 {found['sha256'][:12]}"
            raise CheckpointError(
                f"{folder / name}: expected {expected['bytes']} bytes, sha256 {expected['sha256'][:12]}, "
                f"found {what}; take another copy of the checkpoint"
            )
    return manifest


def about_data(folder: Path) -> dict[str, Any]:
    """Return the `data` that was given to `save_model`, about the training data; {} if nothing was given."""
    path = folder / DATA
    return json.loads(path.read_text()) if path.is_file() else {}


def recover(folder: Path) -> Path:
    """Finish an interrupted replacement and return the folder.

    If the process was killed between the two renames of a replacement, the old folder is renamed back.
    """
    old = _old(folder)
    if not folder.exists() and old.exists():
        old.rename(folder)
    return folder


def digest(folder: Path) -> str:
    """Return the sha256 of the manifest. It identifies the checkpoint, since the manifest holds each file's sha256."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def replace(fresh: Path, folder: Path) -> None:
    """Replace `folder` by `fresh` with two renames, since no single call replaces a folder.

    If the process is killed between the two, `recover` puts the old folder back.
    """
    recover(folder)
    shutil.rmtree(_old(folder), ignore_errors=True)
    if folder.exists():
        folder.rename(_old(folder))
    fresh.rename(folder)
    shutil.rmtree(_old(folder), ignore_errors=True)
    _sync_folder(folder.parent)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def sync(folder: Path) -> None:
    """Flush the files of a folder, and the folder's list of file names, to the disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fact(path: Path) -> dict[str, Any] | None:
    """Return the manifest's entry for a file, {"sha256": ..., "bytes": its size}, or None if there is no such file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
