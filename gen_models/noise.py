"""Randomness as an argument: every draw is a function of (seed, stream, step, row).

The generator is Philox (Salmon, Moraes, Dror and Shaw, 2011), whose n-th word is a function of a key and of n. The key
is made from the seed and the name of the stream. The step and the row's index determine the n at which the words of a
row begin; each number in the row takes one word. So a row has the same draws however rows are split among calls and
workers, no worker draws numbers for the rows of others, a resume is exact bit for bit, and a trial of a search does not
depend on the process that runs it. Words are drawn on the CPU and moved to the device. Uniform draws are the same bits
on every device; normal draws are computed from them on the device, by the normal quantile, and agree to rounding.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

BLOCK_BYTES = 32  # bytes that one count of Philox's counter gives; a row begins at a new count
COUNTER_BITS = 256
STEP_SHIFT = 128  # a step has 2^128 counts of its own
STREAMS = 256  # generators that are kept for the next call; a new one costs some 10 microseconds
AHEAD_STEPS, AHEAD_BYTES = 32, 2**16  # limits on what is drawn ahead: more would push other data out of the cache
SQRT_2 = math.sqrt(2)
HALF_A_STEP = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}  # uniform numbers are its multiples, 0 included


@dataclass(frozen=True)
class Noise:
    """Draws named by a stream: the same (seed, step, stream, row) always gives the same numbers.

    rank       index of this worker, whose rows follow those of the workers before it
    world      number of workers
    first      index of the first row, where a large batch is drawn in parts
    is_shared  whether all rows get the draws of the first row, so that scores of different rows can be compared
    """

    seed: int
    step: int = 0
    rank: int = 0
    world: int = 1
    first: int = 0
    is_shared: bool = False

    def at(self, step: int) -> Noise:
        """Return the same noise at another step."""
        return Noise(self.seed, step, self.rank, self.world, self.first, self.is_shared)

    def shared(self) -> Noise:
        """Return noise that gives all rows the same draws: for scores, which must not depend on a row's position."""
        return replace(self, is_shared=True)

    def rows_from(self, first: int) -> Noise:
        """Return the noise of the rows after the first `first` rows: for the next part of a large batch."""
        return replace(self, first=self.first + first)

    def normal(self, stream: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draw N(0, 1) of the given shape, on the device and with the dtype of `like`; the first axis is the rows."""
        u = self._draw(stream, shape, like)
        z = u.add_(u).sub_(1 - HALF_A_STEP[u.dtype]).erfinv_().mul_(SQRT_2)
        return self._for_all_rows(z, shape, like)

    def uniform(self, stream: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draw uniformly from [0, 1) with the given shape, on the device and with the dtype of `like`."""
        return self._for_all_rows(self._draw(stream, shape, like), shape, like)

    def bernoulli(self, stream: str, p: float, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draw 1 with probability p, else 0, with the given shape, on the device and with the dtype of `like`."""
        return (self.uniform(stream, shape, like) < p).to(like.dtype)

    def categorical(self, stream: str, log_weights: Tensor, n: int) -> Tensor:
        """Draw n indices, (n,), with probabilities softmax(log_weights), by the Gumbel-max trick."""
        u = self.uniform(stream, (n, log_weights.shape[0]), log_weights)
        tiny = torch.finfo(u.dtype).tiny
        return (log_weights - torch.log(-torch.log(u.clamp_min(tiny)))).argmax(dim=1)

    def permutation(self, stream: str, n: int) -> Tensor:
        """Return a permutation of 0 .. n-1, the same on every worker."""
        seed = _key(f"{self.seed}/{stream}/{self.step}", digest_bytes=8) >> 1
        return torch.randperm(n, generator=torch.Generator().manual_seed(seed))

    def _draw(self, stream: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return uniform numbers for this worker's rows; one row only, if the noise is shared."""
        batch, *rest = shape
        dtype = np.float64 if like.dtype == torch.float64 else np.float32
        rows, row = (min(batch, 1), 0) if self.is_shared else (batch, self.first + self.rank * batch)
        numbers = _stream(self.seed, stream, threading.get_ident()).numbers(self.step, row, (rows, *rest), dtype)
        values = torch.from_numpy(numbers)
        return values if like.is_cpu else values.to(like.device)

    def _for_all_rows(self, values: Tensor, shape: Sequence[int], like: Tensor) -> Tensor:
        if values.dtype != like.dtype:
            values = values.to(like.dtype)
        return values.expand(*shape) if self.is_shared else values


class _Stream:
    """The numbers of a stream, drawn ahead for small batches that are asked for step by step.

    Code that has just run is in the processor's cache, so the numbers of many steps take little longer than those of
    one.
    """

    def __init__(self, key: int):
        self._philox = _Philox(key)
        self._asked: tuple = ()
        self._step = 0
        self._ahead: dict[int, np.ndarray] = {}

    def numbers(self, step: int, row: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Return the numbers in [0, 1) of a step, for rows from `row` on, in an array that the caller may change."""
        asked, before = (row, shape, dtype), self._step
        self._step = step
        if asked == self._asked:
            found = self._ahead.pop(step, None)
            if found is not None:
                return found
            stride = step - before
        else:
            self._asked, stride = asked, 0
        found = self._philox.numbers(step, *asked)
        following = range(1, min(AHEAD_STEPS, AHEAD_BYTES // max(found.nbytes, 1))) if stride > 0 else ()
        self._ahead = {step + i * stride: self._philox.numbers(step + i * stride, *asked) for i in following}
        return found


class _Philox:
    """A generator that can be set to any position (count) of its sequence."""

    def __init__(self, key: int):
        self._bits = np.random.Philox(key=key)
        self._numbers = np.random.Generator(self._bits)
        self._count = 0

    def numbers(self, step: int, row: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Return uniform numbers in [0, 1) of a step, for the rows from `row` on; each row begins at a new count."""
        rows, *rest = shape
        numbers, in_a_count = math.prod(rest), BLOCK_BYTES // np.dtype(dtype).itemsize
        counts = -(-numbers // in_a_count)
        width = counts * in_a_count
        count = (step << STEP_SHIFT) + row * counts
        if width == numbers:
            return self.random(count, rows * counts, shape, dtype)
        return self.random(count, rows * counts, (rows, width), dtype)[:, :numbers].reshape(shape)

    def random(self, count: int, counts: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Return uniform numbers in [0, 1) of the given shape, from the `counts` counts that begin at `count`."""
        if count != self._count:
            self._bits.advance((count - self._count) % 2**COUNTER_BITS)
        self._count = count + counts
        return self._numbers.random(shape, dtype=dtype)


@lru_cache(maxsize=STREAMS)
def _stream(seed: int, name: str, thread: int) -> _Stream:
    """Return the generator of a stream. Each thread has its own, because drawing changes a generator's position."""
    return _Stream(_key(f"{seed}/{name}", digest_bytes=16))


def _key(name: str, digest_bytes: int) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=digest_bytes).digest())
