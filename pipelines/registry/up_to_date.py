"""Finds the runs and sweeps that have nothing to register, without asking MLflow about each of them.

When `register` has finished with a run, it computes a hash of all that it looked at: the outputs, the aliases and their
moves, its own code. The tag `registered` of the run's version keeps this hash. If the hash is the same the next time,
and the stored files still have the hashes that the version recorded, there is nothing to do. This works only for a
local store; a server is asked run by run.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from pipelines import tracking
from pipelines.lineage.fingerprint import code_sha256
from pipelines.lineage.hashing import sha256_json
from pipelines.registry import moves, promotion, upload, versions
from pipelines.registry.moves import CANDIDATE
from pipelines.runtime import paths

MARK = "registered"


def mark(run: str, aliases: Any, tags: Any) -> str:
    """Return the hash of all that `register` looks at for a run. aliases, tags: those of the registered model"""
    kept = {name: value for name, value in tags.items() if name.startswith(moves.MOVES)}
    return sha256_json([upload.fingerprint(run), dict(aliases), kept, _code()])


class Store:
    """The content of a local store at the time when this object was made."""

    def __init__(self, client: Any):
        self._held = tracking.snapshot(client)

    def has_sweep(self, key: str, trials: Any) -> bool:
        """Return whether the store has a sweep with all its trials.

        key: the key in the sweep's lineage.json; trials: the content of its trials.json
        """
        return self._held.sweeps.get(key) == tracking.trials_digest(trials)

    def settled(self, run: str) -> str | None:
        """Return what `register` would say of a run for which it has nothing to do; None if it may have something."""
        aliases, tags = self._held.models.get(run, ({}, {}))
        number = aliases.get(CANDIDATE, "")
        run_id, model_id, own = self._held.versions.get((run, number), ("", "", {}))
        if moves.BEGUN in tags or own.get(MARK) is None or own[MARK] != mark(run, aliases, tags):
            return None
        artifacts = paths.root() / "mlartifacts" / tracking.TRAININGS
        if self._held.runs.get(run_id, {}).get("replayed") != upload.fingerprint(run):
            return None
        if not _has_files(artifacts / run_id / "artifacts" / "checkpoint") or not _has_files(
            artifacts / "models" / model_id
        ):
            return None
        try:
            if json.loads(own["files"]) != versions.hashes(artifacts / "models" / model_id / "artifacts"):
                return None
        except FileNotFoundError:  # some were removed
            return None
        held = ", ".join(sorted(alias for alias, which in aliases.items() if which == number))
        is_champion = aliases.get(moves.CHAMPION) == number
        return f"version {number} ({held}); {promotion.IS_CHAMPION if is_champion else own.get('gate', '')}"


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


@cache
def _code() -> str:
    return code_sha256("register")
