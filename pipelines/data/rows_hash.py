"""The hash of the rows of prepared data: if it is equal, the metrics of two models can be compared.

The hash of the whole data (store.py) also covers what decides a training but leaves the rows alone, such as the batch
size. The training rows count, since their scale is the unit of some metrics.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.lineage.hashing import sha256_json

FACTS = ("name", "event_shape", "dtype", "levels", "classes", "anomaly", "statistics")
FILES = ("x", "y", "factors", "mask")


def rows_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the hash of the rows of all splits, of their labels, factors and masks, and of what their numbers mean.

    manifest: that of the prepared data
    """
    facts = {name: manifest.get(name) for name in FACTS}
    files = {split: {kind: entry.get(kind) for kind in FILES} for split, entry in manifest["splits"].items()}
    return sha256_json({**facts, "columns": (manifest.get("table") or {}).get("columns"), "files": files})
