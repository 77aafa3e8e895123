"""ui: serves MLflow's pages on this machine, and says what to look at first. MLflow's server replaces this process.

    gen-models ui
    gen-models ui --port 5001

It serves the store that MLFLOW_TRACKING_URI names, else mlflow.db in the project folder. If that is a server already,
its pages are told and nothing is started.
"""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from gen_models.errors import GenModelsError, first_line
from pipelines import arguments, tracking
from pipelines.arguments import HOST
from pipelines.runtime import paths
from pipelines.runtime.stage import parse

VIEW = "workflowType=machine_learning"  # else MLflow shows the menu for language models
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # for MLflow's judges of language models: 5 processes, 1.2 GB
}


class PortError(GenModelsError):
    """The port on which to serve is taken or may not be used."""


def main(argv: Sequence[str]) -> None:
    port = parse(argv, "ui", __doc__, arguments.ui).port
    check_port(port)
    uri = tracking.store_uri()
    client = tracking.open_store()
    is_served = uri.startswith(("http://", "https://"))
    base = uri.rstrip("/") if is_served else f"http://{HOST}:{port}"
    with tracking.translated():
        ids = [tracking.experiment_id(client, name) for name in (tracking.TRAININGS, tracking.SWEEPS)]
    print(first_look(base, *ids), flush=True)
    if is_served:
        return
    log = paths.work("ui.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"there in some seconds; Ctrl-C ends it; the server's own messages: {log}", flush=True)
    os.environ |= SETTINGS
    command = ["mlflow", "server", "--backend-store-uri", uri, "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", f"{paths.root()}/mlartifacts", "--uvicorn-opts", "--log-level warning"]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for output in (1, 2):
        os.dup2(file, output)
    os.execvp(str(Path(sys.executable).parent / "mlflow"), command)


def first_look(base: str, trainings: str, sweeps: str) -> str:
    """Return the lines that say what to look at. trainings, sweeps: ids of the experiments"""
    return (
        f"models, with what each reaches        {base}/#/models?{VIEW}\n"
        f"trainings: curves, samples, settings  {base}/#/experiments/{trainings}/runs?{VIEW}\n"
        f"sweeps, with a run for each trial     {base}/#/experiments/{sweeps}/runs?{VIEW}"
    )


def check_port(port: int) -> None:
    """Raise PortError unless a server can listen on the port."""
    if not 0 < port < 65536:
        raise PortError(f"--port {port}: expected 1 to 65535")
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port just left is free
        try:
            tried.bind((HOST, port))
        except OSError as error:
            other = port + 1 if port < 65535 else port - 1
            raise PortError(
                f"port {port} of {HOST} cannot be used ({first_line(error)}): another `gen-models ui`, or another "
                f"program, may have it; try `gen-models ui --port {other}`"
            ) from None
