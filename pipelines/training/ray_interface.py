"""Lets the workers of a training talk to each other at the address by which Ray knows their machine.

Gloo asks what address the machine's name has. On many systems (Debian's /etc/hosts, for one) that is a loopback
address, which workers on another machine cannot reach. So each worker names the network interface of its Ray node.
"""

import os
from dataclasses import dataclass
from typing import Any

from ray.train.torch.config import TorchConfig, _TorchBackend

VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass
class ByNodeAddress(TorchConfig):
    """Ray's configuration of torch.distributed, with the interface of each node named before the workers meet."""

    @property
    def backend_cls(self) -> type:
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(name_interface)
        super().on_start(worker_group, backend_config)


def name_interface() -> None:
    """Set gloo's and NCCL's variable to the interface that has this node's address, unless a person has set them."""
    import ray

    if name := interface_of(ray.util.get_node_ip_address()):
        for variable in VARIABLES:
            os.environ.setdefault(variable, name)


def interface_of(address: str) -> str | None:
    """Return the name of the network interface that has an address, or None."""
    import psutil

    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in entries):
            return name
    return None
