"""ui: serves MLflow's pages on this machine until Ctrl-C, and says what to look at first.

    gen-models ui
    gen-models ui --port 5001

It serves the store that MLFLOW_TRACKING_URI names, else mlflow.db in the project folder. If MLFLOW_TRACKING_URI is the
address of a running server, the command prints the addresses of that server's pages and starts nothing.
"""

from collections.abc import Sequence

from pipelines import arguments, tracking
from pipelines.arguments import HOST
from pipelines.commands import mlflow_server
from pipelines.runtime import paths
from pipelines.runtime.stage import parse

VIEW = "workflowType=machine_learning"  # else MLflow shows the menu for language models


def main(argv: Sequence[str]) -> None:
    port = parse(argv, "ui", __doc__, arguments.ui).port
    uri = tracking.store_uri()
    is_served = uri.startswith(("http://", "https://"))
    if not is_served:
        mlflow_server.check_port(port, "ui")
    client = tracking.open_store()
    base = tracking.shown_uri().rstrip("/") if is_served else f"http://{HOST}:{port}"
    with tracking.translated():
        ids = [tracking.experiment_id(client, name) for name in (tracking.TRAININGS, tracking.SWEEPS)]
    print(first_look(base, *ids), flush=True)
    if is_served:
        return
    log = paths.work("ui.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"there in some seconds; Ctrl-C ends it; the server's own messages: {log}", flush=True)
    mlflow_server.start(uri, f"{paths.root()}/mlartifacts", port, log)


def first_look(base: str, trainings: str, sweeps: str) -> str:
    """Return the lines that say what to look at. base: the server's address; trainings, sweeps: ids of experiments"""
    return (
        f"models, with what each reaches        {base}/#/models?{VIEW}\n"
        f"trainings: curves, samples, settings  {base}/#/experiments/{trainings}/runs?{VIEW}\n"
        f"sweeps, with a run for each trial     {base}/#/experiments/{sweeps}/runs?{VIEW}"
    )
