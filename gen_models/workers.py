"""Sums and means over the workers of a training; with one worker they leave every value as it is.

Statistics over a batch must be those of the global batch. A layer that uses them (batch norm, a codebook's counts)
therefore sums over workers inside its forward pass, and gradients flow through the sum.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce as differentiable_all_reduce


def world_size() -> int:
    """Return how many workers there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first_worker_says(number: int, device: torch.device | str = "cpu") -> int:
    """Return on every worker the number that the first worker passed, so that one worker decides for all."""
    if world_size() == 1:
        return number
    said = torch.tensor(number, device=device)
    dist.broadcast(said, src=0)
    return int(said.item())


def sum_over_workers(value: Tensor) -> Tensor:
    """Return the sum of `value` over workers; its gradient is summed over workers as well."""
    return value if world_size() == 1 else differentiable_all_reduce(value.contiguous())


def average_over_workers(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over workers, in place, with one message."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
