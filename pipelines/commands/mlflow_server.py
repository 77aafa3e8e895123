"""Runs MLflow's server on this machine, quiet and without telemetry."""

import ctypes
import errno
import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gen_models.errors import GenModelsError, first_line
from pipelines.arguments import HOST

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # for MLflow's judges of language models: 5 processes, 1.2 GB
}
EVERY_ADDRESS = "0.0.0.0"
PR_SET_PDEATHSIG = 1  # of Linux's prctl
PASSWORD = re.compile(r"(://[^:/@\s]+:)[^@\s]+@")


class ServerError(GenModelsError):
    """MLflow's server has ended by itself."""


class PortError(GenModelsError):
    """The port on which to serve is taken or may not be used."""


def start(
    store: str,
    artifacts: str,
    port: int,
    log: Path,
    *,
    host: str = HOST,
    names: Sequence[str] = (),
    users: Mapping[str, str] | None = None,
) -> None:
    """Run MLflow's server until Ctrl-C or SIGTERM. It ends with this process, also if that is killed.

    store: the URI of the database; artifacts: the folder or URI for files; log: the file for the server's messages
    host: the address to listen on; names: names by which browsers reach this machine from others, beside its own
    users: the environment of MLflow's plugin that asks for users and passwords; None: nobody is asked

    Raises ServerError, with the server's last message, if the server ends by itself, for example because the database
    does not answer.
    """
    command = [str(Path(sys.executable).parent / "mlflow"), "server", "--backend-store-uri", store, "--host", host]
    command += ["--port", str(port), "--workers", "1", "--artifacts-destination", artifacts]
    command += ["--uvicorn-opts", "--log-level warning"]
    if names or not is_loopback(host):
        known = ["localhost", "127.0.0.1", *names_of(host), *(name.lower() for name in names)]
        command += ["--allowed-hosts", ",".join(f"{name},{name}:*" for name in known)]
        command += ["--cors-allowed-origins", ",".join(f"http://{name}:{port},https://{name}" for name in known)]
    if users is not None:
        command += ["--app-name", "basic-auth"]
    run(command, log, users or {})


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address, or the address of a name."""
    return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback


def names_of(host: str) -> list[str]:
    """Return the names and addresses by which others reach a server that listens on an address of this machine."""
    if not ipaddress.ip_address(socket.gethostbyname(host)).is_unspecified:
        return [host.lower()]
    import psutil

    addresses = [entry.address for device in psutil.net_if_addrs().values() for entry in device]
    own = [address for address in addresses if re.fullmatch(r"[0-9.]+", address) and not is_loopback(address)]
    return list(dict.fromkeys([socket.gethostname().lower(), socket.getfqdn().lower(), *own]))


def run(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    """Run a command as `start` runs the server, with the same errors.

    log: the file to which its output is appended; environment: variables beside those of this process
    """
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        begin, told = file.tell(), list[int]()
        server = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            env={**os.environ, **SETTINGS, **environment},
            preexec_fn=_end_with_parent,
        )

        def end(number: int, frame: object) -> None:
            told.append(number)
            server.terminate()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        server.wait()
    if not told:
        raise ServerError(f"MLflow's server has ended: {_last_line(log, begin)}; its messages are in {log}")


def _end_with_parent() -> None:
    """Let Linux send SIGTERM to this process when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _last_line(log: Path, begin: int) -> str:
    """Return the last line of a file after its first `begin` bytes, without a password."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return without_password(lines[-1]) if lines else "it said nothing"


def without_password(text: str) -> str:
    """Return a text with dots in place of the passwords of its URIs."""
    return PASSWORD.sub(r"\1...@", text)


def check_port(port: int, verb: str, host: str = HOST) -> None:
    """Raise PortError unless a server can listen on the port. verb: the command that asks, for the error

    host: the address to listen on
    """
    if not 0 < port < 65536:
        raise PortError(f"--port {port}: expected 1 to 65535")
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port just left is free
        try:
            tried.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise PortError(
                    f"--host {host}: no IPv4 address of this machine; say one that `hostname -I` prints, or "
                    f"{EVERY_ADDRESS}"
                ) from None
            other = port + 1 if port < 65535 else port - 1
            raise PortError(
                f"port {port} of {host} cannot be used ({first_line(error)}): another `gen-models {verb}`, or another "
                f"program, may have it; try `gen-models {verb} --port {other}`"
            ) from None
