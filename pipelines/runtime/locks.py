"""A lock on an open file, which the kernel frees when its holder ends, however it ends."""

import fcntl
import time
from contextlib import suppress
from typing import IO


def take(file: IO, *, within_seconds: float) -> bool:
    """Take the lock of a file, waiting a while for its holder to end; False if another process still holds it."""
    deadline = time.monotonic() + within_seconds
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
