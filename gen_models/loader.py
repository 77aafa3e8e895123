"""Batches as a function of the step: a batch depends on (seed, step) only, not on anything that ran before.

Therefore a resume needs only its step, W workers together see the batch that one worker would see, and a training that
was killed and restarted draws the same data. There are no worker processes: rows are gathered by index from an array in
memory, a tensor on a device, or a memory-mapped file that may be larger than memory.

Sampling is without replacement within an epoch: epoch e is a permutation pi_e of the rows, and with batches of B rows
its batch k = 0, 1, ... is the rows pi_e[kB : (k+1)B]. Rows that do not fill a batch are left out of that epoch; another
permutation leaves out other rows.
"""

import mmap
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.errors import ConfigError
from gen_models.noise import Noise

STREAM = "batches"
RESIDENT_BYTES = 128 << 20  # memory that a mapped file may hold, roughly, before its pages are released
STATM = Path("/proc/self/statm")


class Batches:
    """The batches of a training; `at(step)` returns this worker's rows of the step's batch.

    x            (rows, *event), an array, a memory-mapped array or a tensor on any device
    batch_size   rows of the global batch, over all workers
    seed         of the permutations
    rank, world  this worker's index, and the number of workers. Worker `rank` gets the rank-th contiguous part of the
                 batch
    device       where batches are returned; None: where x is
    dtype        of the batches; integers are converted after the gather and the move to the device

    Raises ConfigError unless batch_size is 1 to the number of rows, and divisible by `world`.
    """

    def __init__(
        self,
        x: np.ndarray | Tensor,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        self.rows = int(x.shape[0])
        _check(batch_size, self.rows, rank, world)
        self.batch_size = batch_size
        self.batches_per_epoch = self.rows // batch_size
        self._gather = _GatherTensor(x) if isinstance(x, Tensor) else _GatherArray(x)
        self._noise = Noise(seed)
        self._slice = (rank * (batch_size // world), (rank + 1) * (batch_size // world))
        self._device, self._dtype = device, dtype
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def at(self, step: int) -> Float[Tensor, "batch *event"]:
        """Return this worker's rows of a step, (batch_size / world, *event), whatever was called before.

        Steps count from 1.
        """
        assert step >= 1, f"steps count from 1, not {step}"
        epoch, batch = divmod(step - 1, self.batches_per_epoch)
        start, stop = (batch * self.batch_size + edge for edge in self._slice)
        rows = self._gather(self._permutation(epoch)[start:stop])
        if self._device is not None:
            rows = rows.to(self._device)  # before the conversion, so that bytes travel and not floats
        return rows.to(self._dtype)

    def _permutation(self, epoch: int) -> Tensor:
        """Return the permutation pi_e of an epoch. Only the last one is kept, at 8 bytes a row."""
        if epoch != self._epoch:
            order = self._noise.at(epoch).permutation(STREAM, self.rows)
            self._epoch, self._order = epoch, order.to(self._gather.device)
        return self._order


class _GatherTensor:
    """Gather rows of a tensor, on the tensor's device."""

    def __init__(self, x: Tensor):
        self.x = x
        self.device = x.device

    def __call__(self, rows: Tensor) -> Tensor:
        return self.x.index_select(0, rows)


class _GatherArray:
    """Gather rows of an array in memory or of a mapped file."""

    device = torch.device("cpu")

    def __init__(self, x: np.ndarray):
        self._rows = Rows(x)

    def __call__(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(self._rows(rows.numpy()))


class Rows:
    """Rows by index. They are read in the order in which they lie in the file, and returned in the order asked for.

    Pages of a mapped file that were read count as this process's memory until they are released. If the file is larger
    than RESIDENT_BYTES, they are released when they take about that much; they stay in the system's cache as long as
    there is room. The system decides how many pages the reading of one row loads, from 64 kB to whole megabytes, so the
    memory is measured and not computed.
    """

    def __init__(self, x: np.ndarray):
        self.x = np.asarray(x)
        self._map = _read_only_map(x) if x.nbytes > RESIDENT_BYTES else None
        self._row_bytes = max(x.nbytes // max(len(x), 1), 1)
        self._release()  # what an earlier reader of the same map left would count as held by others

    def __call__(self, wanted: np.ndarray) -> np.ndarray:
        order = wanted.argsort()
        gathered = np.empty((len(wanted), *self.x.shape[1:]), dtype=self.x.dtype)
        for part in self._parts(wanted, order):
            gathered[part] = self.x[wanted[part]]
            if self._map is not None and _mapped_bytes() - self._held >= RESIDENT_BYTES:
                self._release()
        return gathered

    def _release(self) -> None:
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
        self._held = _mapped_bytes()

    def _parts(self, wanted: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
        """Split `order` into parts, so that the rows of each part lie within RESIDENT_BYTES of the file."""
        if self._map is None:
            return [order]
        span = wanted[order] * self._row_bytes // RESIDENT_BYTES
        return np.split(order, np.flatnonzero(np.diff(span)) + 1)


def _mapped_bytes() -> int:
    """Return how many bytes of mapped files this process holds in memory.

    Where the system does not tell, return 0, so that nothing is released.
    """
    if not STATM.exists():
        return 0
    return int(STATM.read_text().split()[2]) * mmap.PAGESIZE


def _read_only_map(x: np.ndarray) -> mmap.mmap | None:
    """Return the mapped file under a read-only array, whose pages can be released and read again.

    Returns None if x is no such array, or the system cannot release pages.
    """
    if not isinstance(x, np.memmap) or x.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    base = x.base
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def _check(batch_size: int, rows: int, rank: int, world: int) -> None:
    assert 0 <= rank < world, f"rank {rank} of {world} workers"
    if batch_size < 1:
        raise ConfigError(f"batch_size: {batch_size} is not a number of rows; choose 1 .. {rows}")
    if batch_size > rows:
        raise ConfigError(f"batch_size: {batch_size} rows are more than the {rows} of the data; choose at most {rows}")
    if batch_size % world:
        raise ConfigError(
            f"batch_size: {batch_size} rows do not divide among {world} workers; "
            f"choose {max(batch_size // world, 1) * world}"
        )
