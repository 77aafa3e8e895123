"""Calls a function on every node of a cluster, by a small task, and describes what a node has."""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gen_models.errors import one_line
from pipelines.training.ray_cluster import in_thread

NODE_SECONDS = 60.0  # in which a node starts a process, with the code sent to it, and answers
PACKAGES = ("gen_models", "pipelines")


@dataclass(frozen=True)
class NodeFacts:
    """What a machine has: versions, the hash of its code, whether it sees the project folder, and whether it has a GPU.

    token: the content of a file that the driver wrote into the project folder; None if the machine does not see the
    file
    sees_gpu: whether PyTorch can use a GPU there; None if it was not asked
    """

    python: str
    torch: str
    numpy: str
    ray: str
    code: str
    token: str | None
    sees_gpu: bool | None


def on_each_node(ray: Any, act: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Call a function on every node; return {node: what it returned, or the exception that it raised there}.

    A node that does not answer within NODE_SECONDS gets a TimeoutError. The name of a node is its address and the start
    of its id in Ray, since several nodes may be on one machine.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = {f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})": node for node in ray.nodes() if node["Alive"]}
    task = ray.remote(num_cpus=0, max_retries=0)(act)
    asked = {
        name: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            *arguments
        )
        for name, node in nodes.items()
    }

    def wait() -> dict[str, Any]:
        deadline, found = time.monotonic() + NODE_SECONDS, {}
        for name, reference in asked.items():
            try:
                found[name] = ray.get(reference, timeout=max(0.0, deadline - time.monotonic()))
            except ray.exceptions.GetTimeoutError:
                ray.cancel(reference, force=True)
                found[name] = TimeoutError(f"no answer within {NODE_SECONDS:g} s")
            except Exception as error:  # whatever failed there is told with the node's name
                found[name] = error
        return found

    return in_thread(wait)


def facts_here(token: str, with_gpus: Sequence[str] = ()) -> NodeFacts:
    """Return what the machine of this process has.

    token: the path of a file that the driver wrote; with_gpus: the ids of the nodes to which Ray gives GPUs. PyTorch is
    asked only on these nodes whether it can use a GPU.
    """
    path = Path(token)
    try:
        said = path.read_text()
    except OSError:
        said = None
    versions = {name: version(name) for name in ("torch", "numpy", "ray")}
    return NodeFacts(
        platform.python_version(),
        versions["torch"],
        versions["numpy"],
        versions["ray"],
        code_here(),
        said,
        _gpu(with_gpus),
    )


def code_here() -> str:
    """Return the hash of the code that this process would run: all .py files of gen_models and pipelines."""
    found = hashlib.sha256()
    root = Path(__file__).resolve().parents[2]
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def why(error: Exception) -> str:
    """Return, as one line, why a task failed on a node. Ray puts the cause at the end of a trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    return one_line((named or lines or [type(error).__name__])[-1])


def _gpu(with_gpus: Sequence[str]) -> bool | None:
    if not with_gpus:
        return None
    import ray

    if ray.get_runtime_context().get_node_id() not in with_gpus:
        return None
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "all"):
        del os.environ["CUDA_VISIBLE_DEVICES"]  # Ray hides GPUs from a task that asks for none, as this one does
    import torch

    return torch.cuda.is_available()
