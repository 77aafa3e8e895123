"""Finds, by `dvc gc`, the files of DVC's cache that no workspace, commit or experiment of DVC uses."""

import re
import subprocess
import sys
from pathlib import Path

from gen_models.errors import GenModelsError
from pipelines.garbage.item import Item, size_of
from pipelines.runtime import paths

KEPT = ("--workspace", "--all-commits", "--all-experiments")
SECONDS = 3600


def cache() -> list[Item]:
    """Return one item that stands for all files that may be removed from DVC's cache; [] if all are used.

    Raises GenModelsError if `dvc gc` fails.
    """
    files = [Path(path) for path in re.findall(r"^Removing (.+)$", _dvc("--dry"), re.MULTILINE)]
    if not files:
        return []

    def remove() -> bool:
        _dvc("--force")
        return True

    total = sum(size_of(path) for path in files)
    return [
        Item("DVC: in its cache", f"{len(files)} files that no workspace, commit or experiment uses", total, remove)
    ]


def _dvc(option: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "gc", *KEPT, option],
        cwd=paths.root(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        raise GenModelsError(f"--dvc: `dvc gc` failed: {lines[0].removeprefix('ERROR: ')}")
    return done.stdout + done.stderr
