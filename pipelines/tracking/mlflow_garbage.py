"""Finds and deletes, for `gen-models gc`, what MLflow's store does not need any more.

A logged model is MLflow's name for the files of one model that were uploaded together. A version of a registered model
points to one logged model.
"""

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlparse

from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from pipelines.runtime import paths
from pipelines.tracking.mlflow_snapshot import model_id, pages
from pipelines.tracking.mlflow_store import SWEEPS, TRAININGS, experiment_id, is_local

RUN, MODEL = re.compile(r"[0-9a-f]{32}"), re.compile(r"m-[0-9a-f]{32}")


def orphaned_folders(client: MlflowClient) -> list[Path]:
    """Return the folders of a local store's artifacts that belong to no run, version or upload.

    The folder of a deleted run is one of them, unless a version names this run. If the store is a server, return []:
    its own command `mlflow gc` removes such folders.
    """
    if not is_local():
        return []
    roots = [paths.root() / "mlartifacts" / name for name in (TRAININGS, SWEEPS)]
    runs = [path for root in roots for path in sorted(root.glob("*")) if RUN.fullmatch(path.name)]
    models = [path for path in sorted((roots[0] / "models").glob("*")) if MODEL.fullmatch(path.name)]
    known = _known(client)  # asked after the folders were listed, so what is made meanwhile is known
    return [path for path in (*runs, *models) if path.is_dir() and path.name not in known]


def model_ids(client: MlflowClient, model: str | None = None) -> set[str]:
    """Return the ids of the logged models to which versions point.

    model: only versions of this registered model; None: of all
    """
    asked = f"name = '{model}'" if model is not None else ""
    return {model_id(v) for v in pages(lambda token: client.search_model_versions(asked, 1000, page_token=token))}


def model_folder(client: MlflowClient, model: str, number: str) -> Path | None:
    """Return the folder on this disk with the files of a version; None if it is not in this project's mlartifacts/.

    model: the registered model; number: the version's number. None is returned if a server keeps the files, for
    example.
    """
    if not is_local():
        return None
    place = urlparse(client.get_model_version_download_uri(model, number))
    folder = Path(unquote(place.path)).parent
    is_own = place.scheme in ("", "file") and folder.is_relative_to(paths.root() / "mlartifacts")
    return folder if is_own and MODEL.fullmatch(folder.name) and folder.is_dir() else None


def delete_version(client: MlflowClient, model: str, number: str) -> None:
    """Delete a version of a registered model, and the logged model to which the version points."""
    logged = model_id(client.get_model_version(model, number))
    client.delete_model_version(model, number)
    with suppress(MlflowException):  # stores of earlier releases have deleted it already
        client.delete_logged_model(logged)


def unused_models(client: MlflowClient) -> dict[str, str]:
    """Return {id of a logged model: run} for the uploads of `gen-models register` to which no version points.

    Either the upload was killed, or its version was deleted in MLflow.
    """
    trainings = experiment_id(client, TRAININGS)
    uploads = pages(lambda token: client.search_logged_models([trainings], max_results=100, page_token=token))
    used = model_ids(client)
    return {
        one.model_id: one.tags["run"] for one in uploads if {"run", "key"} <= set(one.tags) and one.model_id not in used
    }


def upload_folder(logged: str) -> Path | None:
    """Return the folder on this disk with the files of the logged model with the id `logged`; None if there is none."""
    folder = paths.root() / "mlartifacts" / TRAININGS / "models" / logged
    return folder if is_local() and folder.is_dir() else None


def delete_upload(client: MlflowClient, logged: str) -> None:
    """Delete the logged model with the id `logged` from the store. Its files stay."""
    client.delete_logged_model(logged)


def _known(client: MlflowClient) -> set[str]:
    """Return the ids of all runs and logged models that are not deleted.

    Runs and logged models that a version names are added, deleted or not.
    """
    ids = [experiment_id(client, name) for name in (TRAININGS, SWEEPS)]
    runs = pages(lambda token: client.search_runs(ids, "", ViewType.ACTIVE_ONLY, 5000, page_token=token))
    models = pages(lambda token: client.search_logged_models(ids, max_results=100, page_token=token))
    named = pages(lambda token: client.search_model_versions("", 1000, page_token=token))
    found = {run.info.run_id for run in runs} | {model.model_id for model in models}
    return found | {model_id(v) for v in named} | {v.run_id for v in named if v.run_id}
