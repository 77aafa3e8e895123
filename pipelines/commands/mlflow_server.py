"""Starts MLflow's server on this machine, quiet and without telemetry, in place of this process."""

import os
import socket
import sys
from pathlib import Path

from gen_models.errors import GenModelsError, first_line
from pipelines.arguments import HOST

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # for MLflow's judges of language models: 5 processes, 1.2 GB
}


class PortError(GenModelsError):
    """The port on which to serve is taken or may not be used."""


def start(store: str, artifacts: str, port: int, log: Path) -> None:
    """Replace this process by MLflow's server.

    store: the URI of the database; artifacts: the folder or URI for files; log: the file for the server's messages
    """
    os.environ |= SETTINGS
    command = ["mlflow", "server", "--backend-store-uri", store, "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", artifacts, "--uvicorn-opts", "--log-level warning"]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for output in (1, 2):
        os.dup2(file, output)
    os.execvp(str(Path(sys.executable).parent / "mlflow"), command)


def check_port(port: int, verb: str) -> None:
    """Raise PortError unless a server can listen on the port. verb: the command that asks, for the error"""
    if not 0 < port < 65536:
        raise PortError(f"--port {port}: expected 1 to 65535")
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port just left is free
        try:
            tried.bind((HOST, port))
        except OSError as error:
            other = port + 1 if port < 65535 else port - 1
            raise PortError(
                f"port {port} of {HOST} cannot be used ({first_line(error)}): another `gen-models {verb}`, or another "
                f"program, may have it; try `gen-models {verb} --port {other}`"
            ) from None
