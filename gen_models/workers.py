"""Sums and means over the workers of a training; the identity where there is one worker.

Statistics over a batch belong to the global batch: a layer that takes them (batch norm, a codebook's
counts) sums over workers inside its forward, where gradients flow through the sum.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce as differentiable_all_reduce


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first_worker_says(number: int, device: torch.device | str = "cpu") -> int:
    """The first worker's number, on every worker: what one decides for all."""
    if world_size() == 1:
        return number
    said = torch.tensor(number, device=device)
    dist.broadcast(said, src=0)
    return int(said.item())


def sum_over_workers(value: Tensor) -> Tensor:
    """sum over workers of `value`; its gradient is summed over workers as well."""
    return value if world_size() == 1 else differentiable_all_reduce(value.contiguous())


def average_over_workers(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over workers, in place, in one message."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
