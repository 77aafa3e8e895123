"""The identity of a checkpoint's folder: the hash of its manifest. It is apart, because reading it needs no torch."""

import hashlib
from pathlib import Path

MANIFEST = "manifest.json"


def digest(folder: Path) -> str:
    """Return the sha256 of the manifest, which identifies the checkpoint: it holds the sha256 of every file."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
