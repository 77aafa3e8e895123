"""MLflow remembers numbers and names: the store, and the runs in it. The only import of mlflow, with serving.py.

The store is a SQLite file in the project folder, or the server that MLFLOW_TRACKING_URI names. It is a
copy: what it holds of a training is in out/train/RUN as well (history.jsonl is the spool), and
`gen-models sync` rebuilds a lost or lagging one. Hence two ways to write:

    Run        strict and idempotent: what is logged twice is stored once (found by the tag `key`)
    Recorder   a Run for a training under way: a store that fails stops no training

Only finite numbers are logged (SQL has no inf and the pages no nan); a run that had others is tagged
`diverged`. A process that starts workers opens the store before them.
"""

from pipelines.tracking.live_run import Recorder
from pipelines.tracking.mlflow_run import Picture, Run, folder_sha256, label
from pipelines.tracking.mlflow_store import (
    SWEEPS,
    TRAININGS,
    StoreError,
    fetch,
    link_model,
    one_line,
    open_store,
    store_uri,
    translated,
)
from pipelines.tracking.mlflow_sweep import log_sweep, record_sweep

__all__ = [
    "SWEEPS",
    "TRAININGS",
    "Picture",
    "Recorder",
    "Run",
    "StoreError",
    "fetch",
    "folder_sha256",
    "label",
    "link_model",
    "log_sweep",
    "one_line",
    "open_store",
    "record_sweep",
    "store_uri",
    "translated",
]
