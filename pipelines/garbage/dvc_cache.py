"""DVC's cache, through `dvc gc`: what neither the workspace, nor a commit, nor an experiment of DVC uses."""

import subprocess
import sys

from gen_models.errors import GenModelsError
from pipelines.garbage.item import Item
from pipelines.runtime import paths

KEPT = ("--workspace", "--all-commits", "--all-experiments")
SECONDS = 3600


def cache() -> list[Item]:
    """Return the item of DVC's cache, [] if all of it is used; DVC does not say how many bytes are not."""
    told = _dvc("--dry")
    if not (paths.root() / ".dvc" / "cache").is_dir() or "No unused" in told:
        return []

    def remove() -> bool:
        _dvc("--force")
        return True

    return [Item("DVC: in its cache, by `dvc gc`", "what no workspace, commit or experiment uses", 0, remove)]


def _dvc(option: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "gc", *KEPT, option],
        cwd=paths.root(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        raise GenModelsError(
            f"`dvc gc` failed: {lines[0].removeprefix('ERROR: ')}; run `dvc gc --workspace` to see more"
        )
    return done.stdout + done.stderr
