"""Checks, in seconds and before any job starts, whether a cluster can do what params.yaml asks of it.

    cluster   it answers, and is Ray (pipelines/training/ray_cluster.py: `cluster` raises before this)
    nodes     every node runs the driver's versions and code, and sees the project folder or has a storage
    storage   the driver and every node can read and write it, if there is one
    devices   PyTorch sees the GPUs that Ray has
    tracking  MLflow's store takes records; only the driver writes to it

Whether jobs have room is known earlier, when resources are planned (`ray_resources.resources_for`). A check returns
what it found, in words, or raises an error of one line. To add one, add a line to CHECKS.
"""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pipelines import tracking
from pipelines.config.params import Params
from pipelines.runtime import paths
from pipelines.storage.probe import offer, reads_and_writes, withdraw
from pipelines.training.ray_cluster import ClusterError, is_elsewhere
from pipelines.training.ray_nodes import NodeFacts, facts_here, on_each_node, why
from pipelines.training.ray_resources import Resources


class Check(NamedTuple):
    """One check of a cluster.

    look: a function of (ray, params.yaml, resources) that returns what it found, in words, or raises an error of one
    line
    """

    name: str
    look: Callable[[Any, Params, Resources], str]


def preflight(ray: Any, asked: Params, resources: Resources) -> None:
    """Do all checks on a connected cluster, and print what people should read. Raises the first error of a check.

    asked: params.yaml; resources: what jobs get on this cluster
    """
    for line in resources.notes:
        note(line)
    if is_elsewhere():
        print(f"cluster {ray.get_runtime_context().gcs_address}: {resources.as_words()}", flush=True)
    for check in CHECKS:
        check.look(ray, asked, resources)


def note(line: str) -> None:
    """Print to standard error a line that people should read, but that stops nothing."""
    print(f"note: {line}", file=sys.stderr, flush=True)


def nodes_are_alike(ray: Any, asked: Params, resources: Resources) -> str:
    """Raise ClusterError if a node has other versions or other code than the driver, or cannot exchange files with it.

    Without a storage, every node must see the project folder. A local cluster is this machine, and is not checked.
    """
    if not is_elsewhere():
        return "this machine"
    with _token() as path:
        with_gpus = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0)]
        found = on_each_node(ray, facts_here, str(path), with_gpus)
        here = facts_here(str(path))
    for name, facts in found.items():
        if isinstance(facts, Exception):
            raise ClusterError(
                f"node {name}: cannot run this project's code ({why(facts)}); give it the same Python environment and "
                "see that it is up"
            )
        _compare(name, facts, here, asked.storage)
    _tell_of_devices({name: facts for name, facts in found.items() if facts.sees_gpu is False})
    folder = "jobs go through the storage" if asked.storage else "the project folder is seen"
    return f"{len(found)} with Python {here.python}, torch {here.torch}, Ray {here.ray} and this code; {folder}"


def storage_is_open(ray: Any, asked: Params, resources: Resources) -> str:
    """Raise StorageError or ClusterError, within seconds, unless all machines can read and write the storage."""
    if asked.storage is None:
        return "the project folder"
    offered = offer(asked.storage)
    try:
        reads_and_writes(asked.storage, offered)
        found = on_each_node(ray, reads_and_writes, asked.storage, offered) if is_elsewhere() else {}
    finally:
        withdraw(asked.storage, offered)
    for name, problem in found.items():
        if isinstance(problem, Exception):
            raise ClusterError(
                f"node {name}: {why(problem)}; `ray start` there needs the storage's credentials in its environment"
            )
    return asked.storage


def devices_are_seen(ray: Any, asked: Params, resources: Resources) -> str:
    """Return which devices jobs use, in words.

    Print a note if PyTorch sees no GPU on this machine although Ray has some, so that CPUs do the work. On a cluster
    that RAY_ADDRESS names, `nodes_are_alike` has printed such a note for each node.
    """
    if not any(share.gpus for share in resources.shares.values()):
        return "CPUs"
    if not is_elsewhere():
        import torch

        if not torch.cuda.is_available():
            note(f"PyTorch {torch.__version__} sees no GPU on this machine, where Ray has some: CPUs do the work")
            return "CPUs, though Ray has GPUs"
        return "GPUs"
    return "GPUs, where PyTorch sees them"


def store_answers(ray: Any, asked: Params, resources: Resources) -> str:
    """Raise StoreError within seconds if MLflow's store cannot be opened by the driver.

    Workers do not write to the store, so it may be a file that only the driver sees.
    """
    tracking.open_store()
    return tracking.store_uri()


CHECKS = [
    Check("nodes", nodes_are_alike),
    Check("storage", storage_is_open),
    Check("devices", devices_are_seen),
    Check("tracking", store_answers),
]


def _compare(name: str, facts: NodeFacts, here: NodeFacts, storage: str | None) -> None:
    for what in ("python", "torch", "numpy", "ray"):
        if getattr(facts, what).partition("+")[0] != getattr(here, what).partition("+")[0]:
            raise ClusterError(
                f"node {name}: {what} {getattr(facts, what)} is not the driver's {getattr(here, what)}; install "
                "requirements.lock there too, and start Ray again"
            )
    if facts.token != here.token and not storage:
        raise ClusterError(
            f"node {name}: does not see {paths.work()}, where jobs leave their results; share the project folder with "
            "it at the same path, or write storage: s3://BUCKET/FOLDER into params.yaml"
        )
    if facts.code != here.code:
        raise ClusterError(
            f"node {name}: runs other code ({facts.code[:12]}) than this driver ({here.code[:12]}); bring both to the "
            "same commit, and start Ray there again"
        )


def _tell_of_devices(blind: dict[str, NodeFacts]) -> None:
    for name, facts in blind.items():
        note(f"node {name}: PyTorch {facts.torch} sees no GPU, where Ray has some: CPUs do the work there")


@contextmanager
def _token() -> Iterator[Path]:
    """Yield a file in work/ that another machine reads only if it sees this project folder."""
    path = paths.work("cluster", f"seen-{secrets.token_hex(4)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(secrets.token_hex(16))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
