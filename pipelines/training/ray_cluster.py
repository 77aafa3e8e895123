"""The Ray cluster of a stage: the one that RAY_ADDRESS names, or a local one.

To start a local cluster takes seconds, so the stages of one `dvc repro` share one. The first stage that needs a cluster
starts a keeper process, which holds the cluster and ends when that dvc ends, even if dvc is killed. A stage that a
person starts alone has a cluster of its own.

In this version of Ray, local clusters listen on more than the loopback interface. Therefore token authentication is on,
and only the owner can read the token's file.
"""

import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from gen_models.errors import GenModelsError, first_line
from gen_models.files import replacing
from pipelines.runtime import paths
from pipelines.runtime.stage import dvc_ancestor, when_process_ends
from pipelines.storage.code import code_folder

T = TypeVar("T")
START_SECONDS = 60.0
REACH_SECONDS = 10.0
SECONDS_BETWEEN_LOOKS = 0.2
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # with Ray's default, a report waits for two seconds
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a thread that outlives its cluster must not start another
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "60",  # a resume reads the run log, not Tune's own state
}


class ClusterError(GenModelsError):
    """The Ray cluster cannot be reached, or is too small."""


@contextmanager
def cluster(*, sends_code: bool = False) -> Iterator[Any]:
    """Yield the module `ray`, connected to a cluster, and disconnect at the end.

    sends_code: whether a cluster elsewhere gets the code of this project, because it does not see the project folder

    Raises ClusterError if the cluster cannot be reached.
    """
    _prepare_environment()
    import ray

    address = os.environ.get("RAY_ADDRESS") or _shared_address() or "local"
    _require_listener(address)
    try:
        _init(ray, address, code_folder() if sends_code and os.environ.get("RAY_ADDRESS") else None)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"Ray cluster {address!r} cannot be reached ({first_line(error)}); unset RAY_ADDRESS for a local one"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Raise ClusterError unless somebody listens at HOST:PORT within REACH_SECONDS; Ray itself would wait for minutes.

    Ray finds the addresses "local" and "auto" by itself.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(
            f"RAY_ADDRESS={address}: nobody answers there ({first_line(error)}); start the cluster, or unset "
            "RAY_ADDRESS for a local one"
        ) from None


def in_thread(act: Callable[[], T], meanwhile: Callable[[], None] = lambda: None) -> T:
    """Call `act` in another thread, wait for it, and return its result or raise its error.

    meanwhile: called by the waiting thread every SECONDS_BETWEEN_LOOKS

    In the main thread, Ray's fit() would replace the handlers of SIGINT (Ctrl-C) and SIGTERM by its own.
    """
    found: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(act())
        except BaseException as error:  # the waiting thread raises it below
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="ray-fit")
    thread.start()
    while thread.is_alive():
        thread.join(SECONDS_BETWEEN_LOOKS)  # in steps, so that a signal is handled between them
        meanwhile()
    if errors:
        raise errors[0]
    return found[0]


@contextmanager
def ray_folder(kind: str) -> Iterator[Path]:
    """Yield a folder for the state that Ray keeps during one fit(), and remove it at the end.

    Nothing is resumed from this state. Folders of processes that have ended are removed too.
    """
    folder = paths.work("ray", f"{kind}-{os.getpid()}-{time.time_ns()}")
    for other in folder.parent.glob("*-*-*"):
        if not Path(f"/proc/{other.name.split('-')[1]}").exists():
            shutil.rmtree(other, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def gpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("GPU", 0))


def _init(ray: Any, address: str, code: Path | None = None) -> None:
    """Connect. code: a folder that the workers get as their own, with the code that they run"""
    sent = {"runtime_env": {"working_dir": str(code)}} if code else {}
    local = {"include_dashboard": False, "object_store_memory": 256 * 2**20} if address == "local" else {}
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ray.init(address=address, log_to_driver=False, logging_level="critical", configure_logging=True, **local, **sent)
    for number, handler in handlers.items():  # Ray's own handler prints a stack trace at SIGTERM
        if handler is not None:
            signal.signal(number, handler)


def _prepare_environment() -> None:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # not for a local machine; costs 1 s a fit()
        token = paths.work("cluster", "token")
        if not token.is_file():
            token.parent.mkdir(parents=True, exist_ok=True)
            with replacing(token) as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(secrets.token_hex(32).encode())
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(token))


def _shared_address() -> str | None:
    """Return the address of the cluster that this stage's dvc shares, and start it if there is none yet.

    Returns None if a person started the stage.
    """
    dvc = dvc_ancestor()
    if dvc is None:
        return None
    note = paths.work("cluster", f"{dvc}.json")
    if not _is_kept(note):
        note.unlink(missing_ok=True)
        path = note.with_suffix(".log")
        with path.open("w") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "pipelines.training.ray_cluster", str(dvc)],
                cwd=paths.root(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not _is_kept(note):
            if keeper.poll() is not None or time.monotonic() > deadline:
                raise ClusterError(f"the local Ray cluster did not start: see {path}")
            time.sleep(0.05)
    return json.loads(note.read_text())["address"]


def _is_kept(note: Path) -> bool:
    """Return whether the keeper that wrote the note is still running: it holds a lock on the note while it runs."""
    try:
        with note.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def release(dvc: int) -> None:
    """End the cluster that is kept for the process `dvc`, before that process ends."""
    with suppress(OSError, ValueError, KeyError):
        os.kill(json.loads(paths.work("cluster", f"{dvc}.json").read_text())["keeper"], signal.SIGTERM)


def keep(dvc: int) -> None:
    """Start a local cluster and hold it until the process `dvc` ends. The keeper process runs this function."""
    _prepare_environment()
    import ray

    note = paths.work("cluster", f"{dvc}.json")

    def end() -> None:
        note.unlink(missing_ok=True)
        with suppress(Exception):
            ray.shutdown()
        os._exit(0)

    signal.signal(signal.SIGTERM, lambda signum, frame: end())
    _init(ray, "local")
    fresh = note.with_suffix(".unfinished")
    with fresh.open("w") as file:
        file.write(json.dumps({"address": ray.get_runtime_context().gcs_address, "keeper": os.getpid()}))
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        fresh.rename(note)
        _wait_for_the_end_of(dvc, end)


def _wait_for_the_end_of(dvc: int, end: Callable[[], None]) -> None:
    when_process_ends(dvc, end)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    keep(int(sys.argv[1]))
