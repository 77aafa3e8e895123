"""The folder where a machine that works for others keeps prepared data sets and the folders of jobs.

A data set is fetched once and verified each time it is used. The folder is the one that GEN_MODELS_NODE_FOLDER names,
or else one of the user's own below the system's temporary folder. It is safe to delete while nothing runs.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gen_models.errors import DataError
from pipelines.data.store import MANIFEST, open_folder
from pipelines.runtime import locks
from pipelines.storage.place import Place, StorageError, each_file

WAIT_SECONDS = 3600.0  # how long a job waits while another job of this machine fetches the same data


def folder() -> Path:
    """Return this machine's folder for data sets and jobs. If it is missing, make it, readable by its user only.

    Raises StorageError if it cannot be made, or belongs to another user.
    """
    named = os.environ.get("GEN_MODELS_NODE_FOLDER")
    found = Path(named) if named else Path(tempfile.gettempdir()) / f"gen-models-{os.getuid()}"
    try:
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{found}: {error.strerror}; set GEN_MODELS_NODE_FOLDER to a folder of yours") from None
    if found.stat().st_uid != os.getuid():
        raise StorageError(f"{found}: belongs to another user; set GEN_MODELS_NODE_FOLDER to a folder of yours")
    return found.resolve()


def store_data(place: Place, data: Path) -> str:
    """Verify a prepared data set, store it under its hash unless the storage has it, and return the hash."""
    digest = open_folder(data).sha256
    if place.get_bytes(f"data/{digest}/{MANIFEST}") is None:
        for name, path in sorted(each_file(data), key=lambda file: file[0] == MANIFEST):  # the manifest last
            place.put(path, f"data/{digest}/{name}")
    return digest


def fetch_data(place: Place, digest: str) -> Path:
    """Return the folder with this machine's copy of a prepared data set; fetch the data set if there is no whole copy.

    digest: the hash of the data set. The copy is verified each time. Raises StorageError if the data set in the storage
    is incomplete or damaged, or if another job of this machine has been fetching it for WAIT_SECONDS.
    """
    kept = folder() / "data" / digest
    try:
        with locks.held(kept.with_name(f"{digest}.lock"), within_seconds=WAIT_SECONDS):
            if not _is_whole(kept, digest):
                _fetch(place, digest, kept)
    except locks.HeldError as error:
        raise StorageError(f"{kept}: process {error.holder} has been fetching it for an hour; stop it") from None
    return kept


@contextmanager
def job_folder(name: str) -> Iterator[Path]:
    """Yield a path at which the caller makes the folder of one job; remove that folder when the block ends.

    name: the job's name in the storage. Job folders that killed processes have left are removed too.
    """
    jobs = folder() / "jobs"
    jobs.mkdir(exist_ok=True)
    for other in jobs.glob("*-*"):
        if not Path(f"/proc/{other.name.split('-')[0]}").exists():
            shutil.rmtree(other, ignore_errors=True)
    mine = jobs / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        yield mine / Path(name).name
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def _fetch(place: Place, digest: str, kept: Path) -> None:
    fresh = kept.with_name(f".{digest}.unfinished")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(kept, ignore_errors=True)
    below = f"data/{digest}"
    for name in place.names(below):
        place.get(name, fresh / Path(name).name)
    if not _is_whole(fresh, digest):
        shutil.rmtree(fresh, ignore_errors=True)
        raise StorageError(
            f"storage: {place.uri}/{below}: the data there are not whole; remove that folder, and run the same command "
            "again, which stores them anew"
        )
    fresh.rename(kept)


def _is_whole(data: Path, digest: str) -> bool:
    try:
        return open_folder(data).sha256 == digest
    except DataError:
        return False
