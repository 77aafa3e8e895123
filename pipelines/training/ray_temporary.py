"""Finds a temporary folder for a local Ray cluster that is short enough for the cluster's sockets.

On Linux, the path of a socket may have 107 bytes. Ray puts its sockets into its temporary folder, usually below TMPDIR,
and adds some sixty bytes to the path. If TMPDIR is long, Ray would therefore fail with an error of its own.
"""

import os
from pathlib import Path

from gen_models.errors import GenModelsError

LONGEST = 107  # bytes in the path of an AF_UNIX socket
OF_RAY = "ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # what Ray adds, at most
SHORT = "/tmp"


class TemporaryFolderError(GenModelsError):
    """No folder is short enough for Ray's sockets."""


def short_folder() -> str | None:
    """Return a private folder for Ray's state if the usual one has too long a path; None if the usual one will do.

    The usual folder is in RAY_TMPDIR, TMPDIR or /tmp. Raises TemporaryFolderError if no private folder can be made.
    """
    usual = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or SHORT
    if len(os.fsencode(os.path.join(usual, OF_RAY))) <= LONGEST:  # noqa: PTH118  as Ray joins them
        return None
    folder = Path(SHORT) / f"gen-models-ray-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise _refusal(usual, str(error)) from None
    if found.st_uid != os.getuid() or found.st_mode & 0o170777 != 0o040700:  # a folder, not a link, and nobody else's
        raise _refusal(usual, f"{folder} is not a private folder of this user")
    return str(folder / "ray")  # Ray lets everybody into this folder, but the one above keeps others out


def _refusal(usual: str, why: str) -> TemporaryFolderError:
    most = LONGEST - len(OF_RAY) - 1
    return TemporaryFolderError(
        f"TMPDIR={usual}: too long for Ray's sockets, whose paths may have {LONGEST} bytes ({why}); set RAY_TMPDIR to "
        f"an existing folder of at most {most} bytes"
    )
