"""The Ray cluster of a stage: the one that RAY_ADDRESS names, or a local one.

Starting a local cluster costs seconds, so the stages of one `dvc repro` share it: the first stage that
needs one starts a keeper process, which holds the cluster and ends with that dvc, however it ends. A
stage that a person runs alone has a cluster of its own.

Local clusters listen on more than loopback in this version of Ray, so token authentication is on, and
the token's file is readable by its owner alone.
"""

import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from gen_models.errors import GenModelsError
from pipelines.runtime import paths
from pipelines.runtime.stage import dvc_ancestor, when_process_ends

T = TypeVar("T")
START_SECONDS = 60.0
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # by default a report waits for two seconds
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a thread that is left behind must not start a cluster of its own
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "60",  # the ledger is what a resume trusts, not Tune's own state
}


class ClusterError(GenModelsError):
    """A cluster that cannot be reached or is too small."""


@contextmanager
def cluster() -> Iterator[Any]:
    """`ray`, connected; disconnected at the end."""
    _prepare_environment()
    import ray

    address = os.environ.get("RAY_ADDRESS") or _shared_address() or "local"
    try:
        _init(ray, address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"Ray cluster {address!r} cannot be reached ({_first_line(error)}); unset RAY_ADDRESS for a local one"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def in_thread(act: Callable[[], T]) -> T:
    """`act()` in a thread, waited for in this one: Ray's fit() would else put its own handlers in place of Ctrl-C's."""
    found: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(act())
        except BaseException as error:  # the waiting thread raises it
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="ray-fit")
    thread.start()
    while thread.is_alive():
        thread.join(0.2)  # in steps, so that a signal is handled between them
    if errors:
        raise errors[0]
    return found[0]


@contextmanager
def ray_folder(kind: str) -> Iterator[Path]:
    """Where Ray keeps the state of one fit(), until its end; nothing is resumed from it. Those of the dead go too."""
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


def _init(ray: Any, address: str) -> None:
    local = {"include_dashboard": False, "object_store_memory": 256 * 2**20} if address == "local" else {}
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ray.init(address=address, log_to_driver=False, logging_level="critical", configure_logging=True, **local)
    for number, handler in handlers.items():  # Ray's own prints a stack trace at SIGTERM
        if handler is not None:
            signal.signal(number, handler)


def _prepare_environment() -> None:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # no one takes this machine away; 1 s a fit()
        token = paths.work("cluster", "token")
        if not token.is_file():
            token.parent.mkdir(parents=True, exist_ok=True)
            fresh = token.with_name(f"token.{os.getpid()}")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
            fresh.rename(token)
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(token))


def _shared_address() -> str | None:
    """The address of the keeper's cluster for this stage's dvc, started if there is none yet."""
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
    """Whether the keeper that wrote the note lives: it holds a lock on it, which no other process can inherit."""
    try:
        with note.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def release(dvc: int) -> None:
    """End the cluster that is kept for a process, before that process ends."""
    with suppress(OSError, ValueError, KeyError):
        os.kill(json.loads(paths.work("cluster", f"{dvc}.json").read_text())["keeper"], signal.SIGTERM)


def keep(dvc: int) -> None:
    """Hold a local cluster until process `dvc` ends."""
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


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


if __name__ == "__main__":
    keep(int(sys.argv[1]))
