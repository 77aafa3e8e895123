"""Snapshots of a job's folder in a storage. The files of a snapshot are stored first, and its manifest comes last.

    NAME/ATTEMPT/STEP/FILE              a file that is new, or has changed, at this step
    NAME/ATTEMPT/STEP/manifest.json     {file: its sha256, its size, and where it is stored}

NAME is the job's name, and ATTEMPT names one worker's attempt at the job. A worker writes only below its own attempt.
So a worker that is thought dead, and still writes, cannot spoil the snapshots of the worker that replaced it. A file
that has not changed since an earlier snapshot is not stored again: the manifest says where it is. So the folder STEP
holds only the new files, and its manifest names all files. Readers take the newest snapshot whose files agree with its
manifest.
"""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.lineage.hashing import file_sha256
from pipelines.storage.place import Place, StorageError, each_file

MANIFEST = "manifest.json"
PASSING = "latest/"  # files that only the newest snapshots of an attempt need
KEPT_SNAPSHOTS = 2  # how many keep their files in latest/: the newest, and the one that a reader may be fetching


@dataclass(frozen=True)
class Snapshot:
    """A snapshot in the storage.

    at: its folder there; rank: (step, whether it was stored after a divergence, attempt); the newest snapshot has the
    largest rank
    """

    at: str
    rank: tuple[int, bool, str]


class Snapshots:
    """The snapshots of one job. name: the job's name in the storage, whose parts are separated by /"""

    def __init__(self, place: Place, name: str):
        self.place, self.name = place, name

    def newest_first(self, step: int | None = None) -> list[Snapshot]:
        """Return the snapshots that have a manifest, the newest first. step: only those of this step; None: all"""
        found = []
        for name in self.place.names(self.name):
            at, _, file = name.rpartition("/")
            attempt, _, folder = at.removeprefix(f"{self.name}/").partition("/")
            number, _, end = folder.removeprefix("step_").partition(".")
            if file == MANIFEST and number.isdigit() and (step is None or int(number) == step):
                found.append(Snapshot(at, (int(number), bool(end), attempt)))
        return sorted(found, key=lambda snapshot: snapshot.rank, reverse=True)

    def fetch(self, folder: Path, step: int | None = None) -> int | None:
        """Replace a folder by the newest snapshot that agrees with its manifest, and return its step.

        step: take only a snapshot of this step; None: of any step. Returns None if there is no such snapshot. Raises
        StorageError if there are snapshots, and none of them agrees with its manifest.
        """
        snapshots = self.newest_first(step)
        problems = []
        for snapshot in snapshots:
            try:
                self._fetch(snapshot, folder)
            except _DamagedError as error:
                problems.append(str(error))
                continue
            return snapshot.rank[0]
        if problems:
            raise StorageError(
                f"storage: {self.place.uri}/{self.name}: {problems[0]}, and no older snapshot is whole; "
                "remove that folder to begin the job again"
            )
        return None

    def read(self, name: str) -> bytes | None:
        """Return the content of one file of the newest snapshot, without verifying it.

        Returns None if there is no snapshot, or no such file in the newest one.
        """
        for snapshot in self.newest_first():
            files = self._files(snapshot)
            return self.place.get_bytes(files[name]["at"]) if files and name in files else None
        return None

    def attempt(self) -> "Attempt":
        """Return a new attempt at the job, which stores snapshots of its own.

        Files that the newest snapshot already has are not stored again.
        """
        newest = next(iter(self.newest_first()), None)
        return Attempt(self, dict(self._files(newest) or {}) if newest else {})

    def remove(self) -> None:
        """Remove all snapshots of the job."""
        self.place.remove(self.name)

    def _files(self, snapshot: Snapshot) -> dict[str, dict[str, Any]] | None:
        content = self.place.get_bytes(f"{snapshot.at}/{MANIFEST}")
        try:
            files = json.loads(content or b"")["files"]
            return files if all({"sha256", "bytes", "at"} <= entry.keys() for entry in files.values()) else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _fetch(self, snapshot: Snapshot, folder: Path) -> None:
        """Fetch a snapshot, and put it in the place of a folder.

        Raises _DamagedError if the manifest cannot be read, or if a file is missing or differs from the manifest.
        """
        files = self._files(snapshot)
        if files is None:
            raise _DamagedError(f"{snapshot.at}/{MANIFEST} cannot be read")
        fresh = folder.with_name(f".{folder.name}.{os.getpid()}.fetched")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            for name, entry in files.items():
                to = fresh / name
                if not to.resolve().is_relative_to(fresh.resolve()):  # a manifest must not lead out of its folder
                    raise _DamagedError(f"{snapshot.at}/{MANIFEST} names {name}")
                try:
                    self.place.get(entry["at"], to)
                except StorageError:
                    if self.place.get_bytes(entry["at"]) is None:  # an older attempt removed it meanwhile
                        raise _DamagedError(f"{entry['at']} is missing") from None
                    raise
                if (found := file_sha256(to)) != entry["sha256"]:
                    raise _DamagedError(f"{entry['at']}: expected sha256 {entry['sha256'][:12]}, found {found[:12]}")
            fresh.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


class Attempt:
    """One worker's attempt at a job, which stores snapshots of the job's folder."""

    def __init__(self, snapshots: Snapshots, stored: dict[str, dict[str, Any]]):
        self._snapshots, self._place = snapshots, snapshots.place
        self._stored = stored  # {file: its sha256, its size, and where its newest version is}
        self._name = f"{snapshots.name}/{time.time_ns():020d}-{os.urandom(4).hex()}"
        self._passing: list[list[str]] = []  # for each snapshot of this attempt, the files in latest/ that it stored

    def save(self, folder: Path, step: int, end: str = "") -> None:
        """Store the files of a folder that are new or have changed, then the manifest of the snapshot.

        step: the step of the training at which the folder is saved, or 0 for an evaluation
        end: "diverged" for the snapshot after a training has diverged, which may have the step of an earlier snapshot;
        else ""
        """
        at = f"{self._name}/step_{step:08d}" + (f".{end}" if end else "")
        files, passing = {}, []
        for name, path in each_file(folder):
            digest, known = file_sha256(path), self._stored.get(name)
            if known and known["sha256"] == digest:
                files[name] = known
                continue
            files[name] = {"sha256": digest, "bytes": path.stat().st_size, "at": f"{at}/{name}"}
            self._place.put(path, f"{at}/{name}")
            if name.startswith(PASSING):
                passing.append(f"{at}/{name}")
        self._place.put_bytes(json.dumps({"step": step, "files": files}, indent=1).encode(), f"{at}/{MANIFEST}")
        self._stored = files
        self._passing.append(passing)
        self._forget({entry["at"] for entry in files.values()})

    def _forget(self, needed: set[str]) -> None:
        """Remove the files in latest/ of all but the two newest snapshots of this attempt, except those `needed`."""
        while len(self._passing) > KEPT_SNAPSHOTS:
            for name in self._passing.pop(0):
                if name not in needed:
                    self._place.remove_file(name)


class _DamagedError(Exception):
    """A snapshot does not agree with its manifest."""
