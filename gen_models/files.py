"""Writing a file so that a reader never sees half of it: first to a temporary file beside it, which is then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file open for writing, which replaces `path` when the block ends without an error.

    The bytes are on disk before the rename. After an error nothing is left behind and `path` is as it was; the error
    (an OSError on a full disk, for example) goes on to the caller.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with fresh.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
