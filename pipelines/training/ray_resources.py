"""What jobs ask a cluster for, and how many of them have room there at once.

conf/cluster says what a job of each kind asks for. A worker needs all that it asks for on one node, and a fraction of a
GPU on one GPU, so room is counted node by node. Ray would let a job that has room nowhere wait for ever; here such a
job is refused, by an error of one line, before it starts. Nothing here imports Ray.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import Any

from pipelines.config.cluster_conf import ClusterConf, cluster_conf
from pipelines.config.params import Params
from pipelines.runtime.words import counted
from pipelines.training.in_play import EVALUATION, TRAINING, TRIAL
from pipelines.training.ray_cluster import LOCAL, ClusterError, is_elsewhere

SLACK = 1e-6  # parts of CPUs and GPUs are floats: without it, 3 x 0.1 would not fit into 0.3
SECONDS_BETWEEN_LOOKS = 1.0
ALONE = "RAY_ADDRESS names no cluster, so one of this machine alone was started, with all of its CPUs"
KEYS = {TRIAL: "trial", TRAINING: "training", EVALUATION: "evaluation"}  # {kind of a job: its key in conf/cluster}


@dataclass(frozen=True)
class Share:
    """How many CPUs and GPUs each worker of a job asks for, and how many workers the job has."""

    cpus: float = 1.0
    gpus: float = 0.0
    workers: int = 1

    def as_words(self) -> str:
        each = _amounts(self.cpus, self.gpus)
        return each if self.workers == 1 else f"{self.workers} workers, each {each}"

    def as_ray(self) -> dict[str, float]:
        """Return what one worker asks for, in Ray's names: {"CPU": 1.0, "GPU": 0.5}."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}


@dataclass(frozen=True)
class Node:
    """A node of a cluster: its address, and how many CPUs and GPUs Ray has there."""

    name: str
    cpus: float
    gpus: float

    def room(self, share: Share) -> int:
        """Return how many workers with this share have room on this node at once."""
        by_cpus = floor(self.cpus / share.cpus + SLACK)
        if not share.gpus:
            return by_cpus
        on_one = floor(1 / share.gpus + SLACK)  # workers on one GPU; what they leave of it stays unused
        by_gpus = floor(self.gpus) * on_one if share.gpus <= 1 else floor(self.gpus / share.gpus + SLACK)
        return min(by_cpus, by_gpus)


@dataclass(frozen=True)
class Resources:
    """What a job of each kind gets, and how many jobs have room at once.

    nodes: the nodes of the cluster; shares: {kind of a job: its share}; a job of another kind gets one CPU
    at_once: {kind of a job: how many have room when no jobs of other kinds run}
    most: how many jobs of all kinds run at once; placement: Ray's strategy for placing the workers of one job on nodes
    notes: lines that people should read, such as which jobs fall back to CPUs
    wait_seconds: how long to wait for a cluster that has no room for a job, as conf/cluster says
    """

    nodes: tuple[Node, ...]
    shares: Mapping[str, Share]
    at_once: Mapping[str, int]
    most: int
    placement: str = "PACK"
    notes: tuple[str, ...] = ()
    wait_seconds: float = 0.0

    def share(self, kind: str) -> Share:
        return self.shares.get(kind, Share())

    def as_words(self) -> str:
        """Return what the cluster has, and for how many jobs of each kind there is room."""
        jobs = [f"{self.at_once[kind]} x {KEYS[kind]} ({share.as_words()})" for kind, share in self.shares.items()]
        nodes = counted(len(self.nodes), "node")
        return f"{nodes} with {has(self.nodes)}; room for {', '.join(jobs) or f'{self.most} jobs'}"


class Room:
    """Counts the CPUs and GPUs that running jobs have taken, so that only jobs that need not wait are handed out."""

    def __init__(self, resources: Resources):
        self.resources = resources
        self._cpus = sum(node.cpus for node in resources.nodes)
        self._gpus = sum(node.gpus for node in resources.nodes)
        self._running: Counter[str] = Counter()

    def has_room(self, kind: str) -> bool:
        """Return whether one more job of a kind may start now."""
        share = self.resources.share(kind)
        return (
            self._running.total() < self.resources.most
            and self._running[kind] < self.resources.at_once.get(kind, self.resources.most)
            and share.cpus * share.workers <= self._cpus + SLACK
            and share.gpus * share.workers <= self._gpus + SLACK
        )

    def take(self, kind: str) -> None:
        self._count(kind, 1)

    def give_back(self, kind: str) -> None:
        self._count(kind, -1)

    def _count(self, kind: str, change: int) -> None:
        share = self.resources.share(kind)
        self._running[kind] += change
        self._cpus -= change * share.cpus * share.workers
        self._gpus -= change * share.gpus * share.workers


def resources_for(ray: Any, asked: Params, say: Callable[[str], None] = lambda line: None) -> Resources:
    """Return what jobs of params.yaml get on a connected cluster. If the cluster is too small, wait for it to grow.

    ray: the module, connected to the cluster; asked: params.yaml; say: called with a line before a wait

    conf/cluster says how long to wait. Raises ClusterError if the cluster is still too small for a job of some kind,
    and ConfigError for a fault of conf/cluster.
    """
    conf, deadline = cluster_conf(asked.cluster), None
    while True:
        try:
            found = planned(nodes_of(ray), conf, f"conf/cluster/{asked.cluster}.yaml", asked.workers)
            return found if asked.cluster == LOCAL or is_elsewhere() else replace(found, notes=(*found.notes, ALONE))
        except ClusterError as error:
            if deadline is None and conf.wait_seconds:
                say(f"waits for the cluster to grow, for up to {conf.wait_seconds} s: {error}")
            deadline = deadline or time.monotonic() + conf.wait_seconds
            if time.monotonic() >= deadline:
                raise
        time.sleep(SECONDS_BETWEEN_LOOKS)


def plain(ray: Any) -> Resources:
    """Return resources that give each job one CPU. Raises ClusterError if the cluster has no CPU for jobs."""
    nodes = nodes_of(ray)
    most = sum(node.room(Share()) for node in nodes)
    if most < 1:
        raise ClusterError(f"a job asks for 1 CPU, and the cluster has {_of(nodes, 'cpus')}; give a node of it CPUs")
    return Resources(nodes, {}, {}, most)


def nodes_of(ray: Any) -> tuple[Node, ...]:
    """Return the nodes of a connected cluster that are alive, those with the most CPUs first."""
    return tuple(sorted(nodes_by_id(ray).values(), key=lambda node: (-node.cpus, -node.gpus, node.name)))


def nodes_by_id(ray: Any) -> dict[str, Node]:
    """Return {Ray's id of a node: the node} for the nodes of a connected cluster that are alive."""
    return {
        node["NodeID"]: Node(
            node["NodeManagerAddress"], node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)
        )
        for node in ray.nodes()
        if node["Alive"]
    }


def planned(nodes: Sequence[Node], conf: ClusterConf, where: str, workers: int) -> Resources:
    """Return what jobs of each kind get on these nodes.

    where: the file of `conf`, for errors; workers: how many workers a training has

    With `gpu: auto`, a kind of job that has no room on the cluster's GPUs gets CPUs, and a note says so. Raises
    ClusterError if a kind of job has no room at all, or if no node has a GPU with `gpu: always`.
    """
    has_gpus = any(node.gpus for node in nodes)
    if conf.gpu == "always" and not has_gpus:
        raise ClusterError(f"{where}: gpu: always, and the cluster has no GPU; write gpu: auto to use its CPUs")
    shares = {
        TRIAL: Share(conf.trial.cpus, conf.trial.gpus, conf.trial.workers),
        TRAINING: Share(conf.training.cpus, conf.training.gpus, workers),
        EVALUATION: Share(conf.evaluation.cpus),
    }
    if conf.gpu == "never" or not has_gpus:
        shares = {kind: replace(share, gpus=0.0) for kind, share in shares.items()}
    at_once, notes = {}, []
    for kind, share in shares.items():
        if conf.gpu == "auto" and share.gpus and not room(nodes, share, conf.placement):
            notes.append(
                f"{where}: {KEYS[kind]}: {share.as_words()} has no room on the cluster's {_of(nodes, 'gpus')}, "
                "so CPUs do it"
            )
            share = shares[kind] = replace(share, gpus=0.0)
        at_once[kind] = room(nodes, share, conf.placement)
        if at_once[kind] < 1:
            raise _refusal(nodes, kind, share, where)
    most = min(max(at_once.values()), conf.most_jobs or sys.maxsize)
    at_once = {kind: min(count, most) for kind, count in at_once.items()}
    return Resources(tuple(nodes), shares, at_once, most, conf.placement, tuple(notes), conf.wait_seconds)


def room(nodes: Sequence[Node], share: Share, placement: str) -> int:
    """Return how many jobs with this share have room on the nodes at once.

    placement: Ray's strategy for placing the workers of one job on nodes
    """
    rooms = [node.room(share) for node in nodes]
    if share.workers == 1:
        return sum(rooms)
    if placement == "STRICT_PACK":
        return sum(count // share.workers for count in rooms)
    if placement != "STRICT_SPREAD":
        return sum(rooms) // share.workers
    jobs = sum(rooms) // share.workers
    while jobs and sum(min(count, jobs) for count in rooms) < jobs * share.workers:  # a node has one worker of each job
        jobs -= 1
    return jobs


def has(nodes: Sequence[Node]) -> str:
    """Return in words how many CPUs and GPUs the nodes have together."""
    return _amounts(sum(node.cpus for node in nodes), sum(node.gpus for node in nodes))


def _refusal(nodes: Sequence[Node], kind: str, share: Share, where: str) -> ClusterError:
    """Return the error for a job that has no room; it names the CPUs or GPUs of which the job asks for too many."""
    key = KEYS[kind]
    for name, unit in (("cpus", "CPU"), ("gpus", "GPU")):
        asked, most = getattr(share, name), max((getattr(node, name) for node in nodes), default=0.0)
        if asked > most + SLACK:
            return ClusterError(
                f"{where}: {key}.{name}: {asked:g} {unit} on one node are more than the {most:g} that the largest node "
                f"has; lower it, or point RAY_ADDRESS at a larger cluster"
            )
    what = "GPUs" if share.gpus else "CPUs"
    line = "params.yaml: workers" if kind == TRAINING else f"{where}: {key}.workers"
    return ClusterError(
        f"{line}: {share.workers} is more than the {_of(nodes, what.lower())} of the cluster have room for, with "
        f"{_amounts(share.cpus, share.gpus)} each; lower it, or point RAY_ADDRESS at a larger cluster"
    )


def _of(nodes: Sequence[Node], name: str) -> str:
    return counted(sum(getattr(node, name) for node in nodes), name[:-1].upper())


def _amounts(cpus: float, gpus: float) -> str:
    words = counted(cpus, "CPU")
    return f"{words} and {counted(gpus, 'GPU')}" if gpus else words
