"""Opening the store: where it is, quietly, once, and its errors in one line."""

import atexit
import logging
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gen_models.errors import GenModelsError
from pipelines.runtime import paths, stage

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "GIT_PYTHON_REFRESH": "quiet",
    # A server that is gone is told within seconds; what it missed is replayed.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)  # mlflow reads them when it is imported: this file is the first to do so

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import LoggedModelOutput  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402  (MLflow lets some of its store's errors through)

FAILURES = (MlflowException, SQLAlchemyError)
TRAININGS = "gen-models"
SWEEPS = "gen-models/sweeps"
NOTES = {
    TRAININGS: "A run per training: curves, sample grids over steps, evaluation, checkpoint. Filter by the tags "
    "`run`, `model`, `family` and `data`; a registered version links to its run.",
    SWEEPS: "A run per sweep, with a run per trial below it: compare the trials' params and curves.",
}
PROBE_SECONDS = 5.0
_set_here: str | None = None  # the URI that this process put into the environment itself


class StoreError(GenModelsError):
    """The tracking store cannot be opened, read or written."""


def store_uri() -> str:
    """Where the store is: MLFLOW_TRACKING_URI, or mlflow.db in the project folder."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    return named if named and named != _set_here else f"sqlite:///{paths.root() / 'mlflow.db'}"


def open_store() -> MlflowClient:
    """A client of the store, made if it does not exist; to be called before workers start.

    Raises StoreError within seconds if the store does not answer.
    """
    global _set_here
    uri = store_uri()
    _check_uri(uri)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # its errors are raised as well, and told in one line
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    if uri != os.environ.get("MLFLOW_TRACKING_URI"):
        _set_here = uri
    mlflow.set_tracking_uri(uri)
    # Four first openings at once would break the new store's migration: one at a time.
    with translated(), stage.hold(paths.root() / "mlflow.db"):
        client = MlflowClient(uri, uri)
        client.search_registered_models(max_results=1)
        for name in (TRAININGS, SWEEPS):
            experiment_id(client, name)
    return client


def experiment_id(client: MlflowClient, name: str) -> str:
    """The id of an experiment, made or undeleted if need be; its artifacts lie in the project folder."""
    place = (paths.root() / "mlartifacts" / name).as_uri() if _is_local() else None
    found = client.get_experiment_by_name(name)
    if found is None:
        return client.create_experiment(name, artifact_location=place, tags={"mlflow.note.content": NOTES[name]})
    if place and found.artifact_location != place:
        raise StoreError(
            f"{store_uri()} was made for artifacts in {found.artifact_location}: the project folder has moved; "
            "remove mlflow.db and run `gen-models sync`"
        )
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


@contextmanager
def translated() -> Iterator[None]:
    """Errors of MLflow and its database as one line for people."""
    try:
        yield
    except FAILURES as error:
        hint = "; if the file is damaged, remove it and run `gen-models sync`" if _is_local() else ""
        raise StoreError(f"{store_uri()}: {one_line(error)}{hint}") from error


def fetch(artifact_uri: str) -> Path:
    """A local path of stored files: the files themselves in a local store, else a copy that goes with this process."""
    copy = None
    if not _is_local():
        copy = tempfile.mkdtemp(prefix="gen-models-")
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
    with translated():
        return Path(mlflow.artifacts.download_artifacts(artifact_uri, dst_path=copy, tracking_uri=store_uri()))


def link_model(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Show a logged model as the output of its run."""
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def one_line(error: BaseException) -> str:
    """An error's first line, without the SQL or the trace that may follow it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _is_local() -> bool:
    return store_uri().startswith("sqlite:")


def _check_uri(uri: str) -> None:
    if uri.startswith(("http://", "https://")):
        _probe(uri)
    elif "://" not in uri or uri.startswith("file:"):
        raise StoreError(
            f"MLFLOW_TRACKING_URI={uri}: MLflow's file store is not supported; use sqlite:////absolute/mlflow.db, "
            "or unset it for mlflow.db in the project folder"
        )


def _probe(uri: str) -> None:
    """A server that is not there is told at once, with the command that starts one."""
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return  # something answers; what it refuses is told by the call that it refuses
    except (OSError, ValueError) as error:
        raise StoreError(
            f"MLFLOW_TRACKING_URI={uri}: no server answers ({one_line(error)}); start it with "
            "`mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000`, "
            "or unset MLFLOW_TRACKING_URI for mlflow.db in the project folder"
        ) from None
