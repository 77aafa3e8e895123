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
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from gen_models.errors import GenModelsError, first_line, one_line
from gen_models.files import replacing
from pipelines.runtime import paths
from pipelines.runtime.stage import dvc_ancestor, when_process_ends
from pipelines.storage.code import code_folder
from pipelines.training.ray_probe import GONE, NO_TOKEN, NONE, OTHER_TOKEN, SILENT, probe
from pipelines.training.ray_temporary import short_folder

T = TypeVar("T")
LOCAL, AUTO = "local", "auto"
START_SECONDS = 60.0
REACH_SECONDS = 10.0
CONNECT_SECONDS = 30.0  # for a cluster that has answered; a driver takes a second or two to join it
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

    sends_code: whether a cluster that RAY_ADDRESS names gets a copy of this project's code, because its machines do not
    see the project folder

    Raises ClusterError if the cluster cannot be reached within some seconds; SIGINT and SIGTERM end the wait.
    """
    _prepare_environment()
    require_cluster()
    import ray

    address = os.environ.get("RAY_ADDRESS") or _shared_address() or LOCAL
    code = code_folder() if sends_code and is_elsewhere() else None
    try:
        if address == LOCAL:
            _init(ray, address)  # in this thread: the cluster's processes end with the thread that starts them
        else:
            in_thread(lambda: _init(ray, address, code), within_seconds=CONNECT_SECONDS)
    except (OSError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError) as error:
        if address == LOCAL:
            raise ClusterError(f"a local Ray cluster did not start: {one_line(error)}") from None
        raise ClusterError(
            f"Ray cluster {address!r} cannot be reached ({one_line(error)}); unset RAY_ADDRESS for a local one"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def is_elsewhere() -> bool:
    """Return whether RAY_ADDRESS names a cluster. If not, or if it is "local", a local cluster is used."""
    return os.environ.get("RAY_ADDRESS", LOCAL) not in ("", LOCAL)


def require_cluster() -> None:
    """Raise ClusterError, within some seconds, unless the cluster that RAY_ADDRESS names answers; import no Ray."""
    if is_elsewhere():
        _require_listener(os.environ["RAY_ADDRESS"])
        _require_ray(os.environ["RAY_ADDRESS"])


def _require_listener(address: str) -> None:
    """Raise ClusterError unless somebody listens at HOST:PORT within REACH_SECONDS.

    An address without a port, such as "auto", is not checked: Ray finds it by itself. The address of a Ray Client,
    ray://HOST:PORT, is refused, since a Ray Client cannot run sweeps.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator:
        if address != AUTO:
            raise ClusterError(
                f"RAY_ADDRESS={address}: the port is missing; write {address}:6379, or the cluster's port"
            )
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(
            f"RAY_ADDRESS={address}: nobody answers there ({first_line(error)}); start the cluster, or unset "
            "RAY_ADDRESS for a local one"
        ) from None
    if address.startswith("ray://"):
        raise ClusterError(
            f"RAY_ADDRESS={address}: a Ray Client cannot run sweeps; on a node of the cluster, set RAY_ADDRESS=auto"
        )


def _require_ray(address: str) -> None:
    """Raise ClusterError unless a Ray cluster answers at an address within REACH_SECONDS.

    The error says so if the cluster asks for a token that this process does not have.
    """
    found, why = probe(address, REACH_SECONDS)
    if found is not None:
        return
    start = "start one with `ray start --head`, or unset RAY_ADDRESS for a local one"
    advice = {
        NONE: f"no Ray cluster runs on this machine; {start}",
        GONE: f"the last Ray cluster of this machine has ended; {start}; one that runs with --temp-dir is found by its "
        "address only, RAY_ADDRESS=HOST:PORT",
        NO_TOKEN: "the cluster asks for a token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file of the "
        "cluster's token if it is not ~/.ray/auth_token",
        OTHER_TOKEN: "the cluster has another token than RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token; set "
        "RAY_AUTH_TOKEN_PATH to the file of the cluster's token",
        SILENT: f"what answers there is no Ray cluster, or is stuck: it said nothing for {REACH_SECONDS:g} s; set the "
        "address that `ray start --head` prints, or unset RAY_ADDRESS for a local one",
    }
    raise ClusterError(f"RAY_ADDRESS={address}: {advice.get(why, f'{why}; unset RAY_ADDRESS for a local one')}")


def in_thread(act: Callable[[], T], meanwhile: Callable[[], None] = lambda: None, *, within_seconds: float = inf) -> T:
    """Call `act` in another thread, wait for it, and return its result or raise its error.

    meanwhile: called by the waiting thread every SECONDS_BETWEEN_LOOKS
    within_seconds: how long to wait; then TimeoutError is raised, and the other thread is left to itself

    Ray's fit() is called in this way, since in the main thread it would replace the handlers of SIGINT (Ctrl-C) and
    SIGTERM.
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
    deadline = time.monotonic() + within_seconds
    while thread.is_alive():
        thread.join(SECONDS_BETWEEN_LOOKS)  # in steps, so that a signal is handled between them
        meanwhile()
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer within {within_seconds:g} s")
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


def _init(ray: Any, address: str, code: Path | None = None) -> None:
    """Connect to the cluster at an address, or start a local one.

    code: a folder with the project's code, which Ray sends to the workers as their working directory; None: nothing is
    sent
    """
    sent = {"runtime_env": {"working_dir": str(code)}} if code else {}
    local: dict[str, Any] = {}
    if address == LOCAL:
        local = {"include_dashboard": False, "object_store_memory": 256 * 2**20, "_temp_dir": short_folder()}
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    ray.init(address=address, log_to_driver=False, logging_level="critical", configure_logging=True, **local, **sent)
    for number, handler in handlers.items():  # Ray's own handler prints a stack trace at SIGTERM
        if handler is not None:
            signal.signal(number, handler)


def _prepare_environment() -> None:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not is_elsewhere():
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
