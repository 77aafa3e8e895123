"""The Ray cluster of a stage: the one that RAY_ADDRESS names, or a local one.

Starting a local cluster costs seconds, so the stages of one `dvc repro` share it: the first stage that
needs one starts a keeper process, which holds the cluster and ends with that dvc, however it ends. A
stage that a person runs alone has a cluster of its own.

Local clusters listen on more than loopback in this version of Ray, so token authentication is on, and
the token's file is readable by its owner alone.
"""

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from pipelines import paths
from pipelines.stage import dvc_ancestor, when_process_ends

START_SECONDS = 60.0
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # by default a report waits for two seconds
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
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


def cpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def gpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("GPU", 0))


def _init(ray: Any, address: str) -> None:
    local = {"include_dashboard": False, "object_store_memory": 256 * 2**20} if address == "local" else {}
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ray.init(address=address, log_to_driver=False, logging_level="critical", configure_logging=True, **local)


def _prepare_environment() -> None:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("RAY_ADDRESS"):
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
            subprocess.Popen(
                [sys.executable, "-m", "pipelines.cluster_session", str(dvc)],
                cwd=paths.root(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not _is_kept(note):
            if time.monotonic() > deadline:
                raise ClusterError(f"the local Ray cluster did not start within {START_SECONDS:.0f} s: see {path}")
            time.sleep(0.05)
    return json.loads(note.read_text())["address"]


def _is_kept(note: Path) -> bool:
    try:
        os.kill(json.loads(note.read_text())["keeper"], 0)
    except (OSError, ValueError, KeyError):
        return False
    return True


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
    fresh.write_text(json.dumps({"address": ray.get_runtime_context().gcs_address, "keeper": os.getpid()}))
    fresh.rename(note)
    when_process_ends(dvc, end)
    while True:
        time.sleep(3600)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


if __name__ == "__main__":
    keep(int(sys.argv[1]))
