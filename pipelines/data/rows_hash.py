"""The hash of the test rows of prepared data: if it is equal, two models were measured on the same rows.

The hash of the whole data (store.py) also covers the other splits and all that decides a training, such as the batch
size. An edit of these makes a new training, but leaves the test rows as they were.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.lineage.hashing import sha256_json

FACTS = ("name", "event_shape", "dtype", "levels", "classes", "anomaly")
FILES = ("x", "y", "factors", "mask")


def rows_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the hash of the test rows, of their labels, factors and masks, and of what their numbers mean.

    manifest: that of the prepared data
    """
    facts = {name: manifest.get(name) for name in FACTS}
    files = {kind: manifest["splits"]["test"].get(kind) for kind in FILES}
    return sha256_json({**facts, "columns": (manifest.get("table") or {}).get("columns"), "files": files})
