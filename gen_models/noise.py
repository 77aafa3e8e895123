"""Randomness as an argument: every draw is a function of (seed, stream, step).

Therefore a resume is exact bit for bit, two workers equal one, and a trial does not depend on the process that runs it.
Draws are made for the global batch and sliced by worker, so the batch comes first in every shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import torch
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """Draws named by a stream: the same (seed, step, stream) always gives the same numbers.

    rank, world   select this worker's slice of the global batch
    is_shared     one row's draws are used for all rows, so that scores of different rows can be compared
    """

    seed: int
    step: int = 0
    rank: int = 0
    world: int = 1
    is_shared: bool = False

    def at(self, step: int) -> Noise:
        """Return the same noise at another step."""
        return replace(self, step=step)

    def shared(self) -> Noise:
        """Return noise with one row's draws for all rows, for scores, which must not depend on a row's neighbours."""
        return replace(self, is_shared=True)

    def normal(self, stream: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draw N(0, 1) of the given shape, on the device and with the dtype of `like`."""
        return self._draw(torch.randn, stream, shape, like)

    def uniform(self, stream: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draw uniformly from [0, 1) with the given shape, on the device and with the dtype of `like`."""
        return self._draw(torch.rand, stream, shape, like)

    def bernoulli(self, stream: str, p: float, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draw 1 with probability p, else 0."""
        return (self.uniform(stream, shape, like) < p).to(like.dtype)

    def categorical(self, stream: str, log_weights: Tensor, n: int) -> Tensor:
        """Draw (n,) indices with probabilities softmax(log_weights), by the Gumbel-max trick."""
        u = self.uniform(stream, (n, log_weights.shape[0]), log_weights)
        tiny = torch.finfo(u.dtype).tiny
        return (log_weights - torch.log(-torch.log(u.clamp_min(tiny)))).argmax(dim=1)

    def permutation(self, stream: str, n: int) -> Tensor:
        """Return a permutation of 0 .. n-1, the same on every worker."""
        return torch.randperm(n, generator=self._generator(stream, torch.device("cpu")))

    def _draw(self, draw, stream: str, shape: Sequence[int], like: Tensor) -> Tensor:
        batch, *rest = shape
        rows = 1 if self.is_shared else batch * self.world
        generator = self._generator(stream, like.device)
        values = draw(rows, *rest, generator=generator, dtype=like.dtype, device=like.device)
        if self.is_shared:
            return values.expand(batch, *rest)
        return values[self.rank * batch : (self.rank + 1) * batch]

    def _generator(self, stream: str, device: torch.device) -> torch.Generator:
        key = f"{self.seed}/{stream}/{self.step}".encode()
        return torch.Generator(device).manual_seed(int.from_bytes(blake2b(key, digest_size=8).digest()) >> 1)
