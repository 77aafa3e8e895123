"""A lock on a path. The kernel frees it when the process that holds it ends, even if that process is killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.1


class HeldError(Exception):
    """Another process holds the lock.

    holder: the process id of that process as text, or "unknown"
    """

    def __init__(self, holder: str):
        super().__init__(holder)
        self.holder = holder


@contextmanager
def held(path: Path, *, within_seconds: float) -> Iterator[None]:
    """Hold the lock of a path while the block runs.

    The holder's process id is written to PATH.holder, so that a process that waits can name it. Raises HeldError if
    another process still holds the lock after `within_seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.with_name(path.name + ".holder")
    lock = FileLock(path, timeout=within_seconds)
    try:
        lock.acquire(poll_interval=POLL_SECONDS)
    except Timeout:
        raise HeldError(note.read_text().strip() if note.is_file() else "unknown") from None
    try:
        note.write_text(str(os.getpid()))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()
