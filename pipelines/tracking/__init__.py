"""Writes runs to MLflow. Only this package and pipelines/registry/serving.py import mlflow.

The store is a SQLite file in the project folder, or the server that MLFLOW_TRACKING_URI names. It is a copy: all that
it holds of a training is also in out/train/RUN, and `gen-models register` rebuilds a store that is lost or incomplete
from there. Therefore there are two ways to write:

    MlflowRun  strict and idempotent: errors are raised, and what is logged twice is stored once. A run is found by its
               tag `key`, the hash of all that decides the result
    Recorder   an MlflowRun for a training in progress: if the store fails, the training continues

Only finite numbers are logged, since SQL cannot store inf, nor MLflow's pages show nan. A run with other numbers is
tagged `diverged`, or `not_finite` where they are results of evaluate. A process that will start workers opens the store
before it starts them.
"""

import pipelines.tracking.mlflow_settings  # noqa: F401

# isort: split
from pipelines.tracking.live_run import Recorder
from pipelines.tracking.mlflow_garbage import (
    delete_upload,
    delete_version,
    model_folder,
    model_ids,
    orphaned_folders,
    unused_models,
    upload_folder,
)
from pipelines.tracking.mlflow_run import MlflowRun, Picture, folder_sha256, label
from pipelines.tracking.mlflow_snapshot import Snapshot, snapshot
from pipelines.tracking.mlflow_store import (
    FAILURES,
    REGISTER,
    SWEEPS,
    TRAININGS,
    StoreError,
    experiment_id,
    fetch,
    is_local,
    link_model,
    open_store,
    shown_uri,
    store_uri,
    translated,
)
from pipelines.tracking.mlflow_sweep import complete_sweep, log_sweep, record_sweep, trials_digest

__all__ = [
    "FAILURES",
    "REGISTER",
    "SWEEPS",
    "TRAININGS",
    "MlflowRun",
    "Picture",
    "Recorder",
    "Snapshot",
    "StoreError",
    "complete_sweep",
    "delete_upload",
    "delete_version",
    "experiment_id",
    "fetch",
    "folder_sha256",
    "is_local",
    "label",
    "link_model",
    "log_sweep",
    "model_folder",
    "model_ids",
    "open_store",
    "orphaned_folders",
    "record_sweep",
    "shown_uri",
    "snapshot",
    "store_uri",
    "translated",
    "trials_digest",
    "unused_models",
    "upload_folder",
]
