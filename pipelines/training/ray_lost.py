"""Notices, while jobs run, that the cluster has ended or has lost the machines that have room for them.

Without this, Ray would wait for ever if jobs have no room on the machines that are left, or if Ray has ended on the
driver's own machine only. If the cluster's head does not answer, Ray would wait for a minute, then end the process.
"""

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from pipelines.training.ray_cluster import ClusterError, in_thread, is_elsewhere
from pipelines.training.ray_resources import KEYS, Node, Resources, has, nodes_by_id, room

SECONDS_BETWEEN_LOOKS = 5.0
ANSWER_SECONDS = 5.0
SILENT_SECONDS = 15.0  # of a head that does not answer
ROOM_SECONDS = 60.0  # without room for a job; a cluster that grows has as long as conf/cluster says, if that is more
AGAIN = "repeat the command: it goes on from what is finished"


class ClusterWatch:
    """Calls `meanwhile` when called, and every SECONDS_BETWEEN_LOOKS looks at the cluster.

    ray: the module, connected to the cluster; resources: what jobs get there
    kinds: returns the kinds of the jobs that run or wait for room

    Raises ClusterError if the cluster has ended, or Ray has ended on this machine, or if a kind of job has had no room
    for ROOM_SECONDS (or for as long as conf/cluster says, if that is more).
    """

    def __init__(
        self, ray: Any, resources: Resources, kinds: Callable[[], Iterable[str]], meanwhile: Callable[[], None]
    ):
        self._ray, self._resources, self._kinds, self._meanwhile = ray, resources, kinds, meanwhile
        context = ray.get_runtime_context()
        self._address, self._node = context.gcs_address, context.get_node_id()
        self._is_due = time.monotonic() + SECONDS_BETWEEN_LOOKS
        self._heard = self._had_room = time.monotonic()

    def __call__(self) -> None:
        self._meanwhile()
        if time.monotonic() < self._is_due:
            return
        nodes = self._alive()
        now = time.monotonic()
        self._is_due = now + SECONDS_BETWEEN_LOOKS
        if nodes is None:
            if now - self._heard > SILENT_SECONDS:
                raise self._ended(f"the cluster {self._address} has ended, or is not reachable any more", "start it")
            return
        self._heard = now
        if self._node not in nodes:
            fix = f"run `ray start --address={self._address}` here"
            raise self._ended(f"Ray has ended on this machine, not at {self._address}", fix)
        lacking = self._lacking(tuple(nodes.values()))
        if lacking is None:
            self._had_room = now
        elif now - self._had_room > max(ROOM_SECONDS, self._resources.wait_seconds):
            raise ClusterError(lacking)

    def _alive(self) -> dict[str, Node] | None:
        """Return {id: node} of the nodes that are alive; None if the cluster's head does not answer."""
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
            return in_thread(lambda: nodes_by_id(self._ray), within_seconds=ANSWER_SECONDS)
        except (OSError, RuntimeError, self._ray.exceptions.RayError):  # TimeoutError is an OSError
            return None

    def _lacking(self, nodes: tuple[Node, ...]) -> str | None:
        """Return an error's line for a kind of job that has no room on these nodes, or None."""
        for kind in set(self._kinds()):
            share = self._resources.share(kind)
            if room(nodes, share, self._resources.placement) < 1:
                return (
                    f"the cluster {self._address} has lost the room for a {KEYS.get(kind, 'job')} "
                    f"({share.as_words()}): {len(nodes)} of its nodes are left, with {has(nodes)}; "
                    f"add a machine, then {AGAIN}"
                )
        return None

    def _ended(self, where: str, fix: str) -> ClusterError:
        """Return the error for a cluster of which an end is gone. where, fix: of a cluster that RAY_ADDRESS names"""
        if is_elsewhere():
            return ClusterError(f"{where}; {fix}, then {AGAIN}")
        return ClusterError(f"the local Ray cluster has ended; {AGAIN}")
