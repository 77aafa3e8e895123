"""Opens MLflow's store: finds the store, silences MLflow's own messages, and turns MLflow's errors into one line."""

import atexit
import logging
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError  # MLflow lets some of its store's errors through

from gen_models.errors import GenModelsError, first_line
from pipelines.arguments import PORT
from pipelines.runtime import paths, stage

FAILURES = (MlflowException, SQLAlchemyError)
TRAININGS = "gen-models"
SWEEPS = "gen-models/sweeps"
NOTES = {
    TRAININGS: "A run per training: curves, sample grids over steps, evaluation, checkpoint. Filter by the tags "
    "`run`, `model`, `family` and `data`; a registered version links to its run.",
    SWEEPS: "A run per sweep, with a run per trial below it: compare the trials' params and curves.",
}
REGISTER = "`make repro` trains models, and `gen-models register` registers those of out/"
PROBE_SECONDS = 5.0
_set_here: set[str] = set()  # URIs that MLflow, not a person, has written into MLFLOW_TRACKING_URI


class StoreError(GenModelsError):
    """The tracking store cannot be opened, read or written."""


def store_uri() -> str:
    """Return the URI of the store: MLFLOW_TRACKING_URI, or mlflow.db in the project folder."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    return named if named and named not in _set_here else f"sqlite:///{paths.root() / 'mlflow.db'}"


def shown_uri() -> str:
    """Return the store's URI as it may be printed, without the name and password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", store_uri())


def open_store(*, must_exist: bool = False) -> MlflowClient:
    """Return a client of the store; make a local store if it does not exist. Call this before workers start.

    must_exist: for callers that only read; a local store that does not exist is then not made

    Raises StoreError if a local store must exist and does not, and, within seconds, if the store does not answer.
    """
    uri = store_uri()
    _check_uri(uri)
    if must_exist and is_local() and not Path(uri.removeprefix("sqlite:///")).exists():
        raise StoreError(f"no model is registered here: there is no {shown_uri()}; {REGISTER}")
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # its errors are also raised, and then shown in one line
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    if uri != os.environ.get("MLFLOW_TRACKING_URI"):
        _set_here.add(uri)
    mlflow.set_tracking_uri(uri)
    # Processes that open a new store at once would break its migration, so they open it one at a time.
    with translated(), stage.hold(paths.root() / "mlflow.db"):
        if is_local() and not (path := Path(uri.removeprefix("sqlite:///"))).exists():
            _make_store(path)
        client = MlflowClient(uri, uri)
        client.search_registered_models(max_results=1)
        for name in (TRAININGS, SWEEPS):
            experiment_id(client, name)
    return client


def _make_store(path: Path) -> None:
    """Make the tables of a new local store in a file beside `path`, then rename that file to `path`.

    If the process is killed in the middle, no half-made store is left at `path`.
    """
    fresh = path.with_name(f".{path.name}.unfinished")
    fresh.unlink(missing_ok=True)
    uri = f"sqlite:///{fresh}"
    MlflowClient(uri, uri).search_registered_models(max_results=1)
    fresh.rename(path)


def experiment_id(client: MlflowClient, name: str) -> str:
    """Return the id of the experiment `name`; make the experiment if there is none, or restore it if it was deleted.

    A local store keeps the artifacts of the experiment in the project folder. Raises StoreError if that folder has
    moved.
    """
    place = (paths.root() / "mlartifacts" / name).as_uri() if is_local() else None
    found = client.get_experiment_by_name(name)
    if found is None:
        return client.create_experiment(name, artifact_location=place, tags={"mlflow.note.content": NOTES[name]})
    if place and found.artifact_location != place:
        raise StoreError(
            f"{shown_uri()} was made for artifacts in {found.artifact_location}: the project folder has moved; "
            "run `mv mlflow.db mlflow.db.old` and `gen-models register`, which registers what is in out/ again"
        )
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


@contextmanager
def translated() -> Iterator[None]:
    """Turn an error of MLflow or its database that the block raises into a StoreError of one line."""
    try:
        yield
    except FAILURES as error:
        said = first_line(error)
        hint = "; if the file is damaged, remove it and run `gen-models register`" if is_local() else ""
        if not is_local():
            _probe()  # if the server is away, this says so, and how to start it
        if "error code 401" in str(error):
            said = "the server asks for a user"
            hint = "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to those of a user of this server"
        raise StoreError(f"{shown_uri()}: {said}{hint}") from error


def fetch(artifact_uri: str) -> Path:
    """Return a path on this machine of the files at an artifact URI.

    With a local store, these are the stored files themselves; with a server, a copy, which is removed when this process
    ends. Raises StoreError if the files cannot be fetched.
    """
    copy = None
    if not is_local():
        copy = tempfile.mkdtemp(prefix="gen-models-")
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
    with translated():
        return Path(mlflow.artifacts.download_artifacts(artifact_uri, dst_path=copy, tracking_uri=store_uri()))


def link_model(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Make MLflow show a logged model (files of a model, uploaded together) as the output of a run."""
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def is_local() -> bool:
    """Return whether the store is a SQLite file, with its artifacts in the project folder."""
    return store_uri().startswith("sqlite:")


def _check_uri(uri: str) -> None:
    if uri.startswith(("http://", "https://")):
        _probe()
    elif "://" not in uri or uri.startswith("file:"):
        raise StoreError(
            f"MLFLOW_TRACKING_URI={uri}: MLflow's file store is not supported; use sqlite:////absolute/mlflow.db, "
            "or unset it for mlflow.db in the project folder"
        )


def _probe() -> None:
    """Raise StoreError, with the command that starts a server, if no server answers within PROBE_SECONDS."""
    try:
        urllib.request.urlopen(f"{shown_uri().rstrip('/')}/health", timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return  # a server answers; if it refuses a later call, that call raises the error
    except (OSError, ValueError) as error:
        raise StoreError(
            f"MLFLOW_TRACKING_URI={shown_uri()}: no server answers ({first_line(error)}); start it with "
            f"`gen-models server{_port()}`, or unset MLFLOW_TRACKING_URI for mlflow.db in the project folder"
        ) from None


def _port() -> str:
    """Return the option of `gen-models server` for the port of the store's URI; "" for the usual port or none."""
    try:
        port = urlsplit(store_uri()).port
    except ValueError:  # no number
        return ""
    return "" if port in (None, PORT) else f" --port {port}"
