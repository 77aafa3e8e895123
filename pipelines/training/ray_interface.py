"""Lets the workers of a training talk to each other at the address by which Ray knows their machine.

By default gloo, which carries the workers' messages, looks up the address of the machine's name. On many systems
(Debian's /etc/hosts, for one) that is a loopback address, which workers on another machine cannot reach. So each worker
tells gloo and NCCL to use the network interface that has the address of its Ray node.
"""

import os
from dataclasses import dataclass
from typing import Any

from ray.train.torch.config import TorchConfig, _TorchBackend

VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass
class ByNodeAddress(TorchConfig):
    """Ray's configuration of torch.distributed. Each worker calls `name_interface` before the workers connect."""

    @property
    def backend_cls(self) -> type:
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(name_interface)
        super().on_start(worker_group, backend_config)


def name_interface() -> None:
    """Set the variables by which gloo and NCCL choose a network interface to the one that has this node's address.

    A variable that a person has set is left as it is.
    """
    import ray

    if name := interface_of(ray.util.get_node_ip_address()):
        for variable in VARIABLES:
            os.environ.setdefault(variable, name)


def interface_of(address: str) -> str | None:
    """Return the name of the network interface that has an address, or None if no interface has it."""
    import psutil

    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in entries):
            return name
    return None
