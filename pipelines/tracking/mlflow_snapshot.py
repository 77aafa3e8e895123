"""Reads all that MLflow's store says of runs, sweeps and versions, in a few requests.

With a thousand runs, a request for each run would take minutes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import ViewType

from pipelines.tracking.mlflow_store import SWEEPS, TRAININGS, experiment_id
from pipelines.tracking.mlflow_sweep import COMPLETE


@dataclass(frozen=True)
class Snapshot:
    """What MLflow's store had at one moment.

    runs: {id in MLflow: tags} of the trainings that `gen-models register` has completed
    sweeps: {key of a sweep, the hash of all that decides it: the sweep's tag `complete`}
    models: {registered model: ({alias: version}, tags)}
    versions: {(registered model, version): (id of the run, id of the logged model, tags)}, if the version is ready
    """

    runs: Mapping[str, Mapping[str, str]]
    sweeps: Mapping[str, str]
    models: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]
    versions: Mapping[tuple[str, str], tuple[str, str, Mapping[str, str]]]


def snapshot(client: MlflowClient) -> Snapshot:
    """Read the store, and return what it has."""
    trainings, sweeps = (experiment_id(client, name) for name in (TRAININGS, SWEEPS))
    has_mark = "tags.{} LIKE '%'"
    runs = pages(
        lambda token: client.search_runs(
            [trainings], has_mark.format("replayed"), ViewType.ACTIVE_ONLY, 5000, page_token=token
        )
    )
    swept = pages(
        lambda token: client.search_runs(
            [sweeps], has_mark.format(COMPLETE), ViewType.ACTIVE_ONLY, 5000, page_token=token
        )
    )
    models = pages(lambda token: client.search_registered_models(max_results=1000, page_token=token))
    versions = pages(lambda token: client.search_model_versions("", 1000, page_token=token))
    return Snapshot(
        {run.info.run_id: dict(run.data.tags) for run in runs},
        {run.data.tags.get("key", ""): run.data.tags[COMPLETE] for run in swept},
        {m.name: ({alias: str(number) for alias, number in m.aliases.items()}, dict(m.tags)) for m in models},
        {(v.name, str(v.version)): (v.run_id, model_id(v), dict(v.tags)) for v in versions if v.status == "READY"},
    )


def model_id(version: Any) -> str:
    """Return the id of the logged model, MLflow's name for uploaded model files, to which a version points.

    Where the version has no id of its own, the id is in its source.
    """
    return version.model_id or str(version.source).removeprefix("models:/")


def pages(ask: Callable[[str | None], Any]) -> list[Any]:
    """Return the items of all pages of a search in MLflow.

    ask: a function that returns a page, given its token; the token of the first page is None
    """
    found: list[Any] = []
    token: str | None = None
    while True:
        page = ask(token)
        found += page
        token = page.token
        if not token:
            return found
