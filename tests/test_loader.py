"""The laws of batches: a pure function of the step, each row once an epoch, one batch whatever the workers."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from gen_models.errors import ConfigError
from gen_models.loader import Batches, _read_only_map

ROWS, BATCH = 23, 6  # 3 batches an epoch and a tail of 5 rows
X = np.arange(ROWS, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 3), np.uint8)


def ids(batch: torch.Tensor) -> list[int]:
    """The row numbers of a batch of X."""
    return [int(row) for row in batch[:, 0, 0]]


def on_disk(folder, x):
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r")


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_each_row_at_most_once_an_epoch_and_only_the_tail_is_left_out(epoch):
    batches = Batches(X, BATCH, seed=0)
    drawn = [i for k in range(3) for i in ids(batches.at(epoch * 3 + k + 1))]
    assert len(drawn) == len(set(drawn)) == 18


def test_every_row_once_an_epoch_where_batches_divide_the_rows():
    batches = Batches(X[:20], 5, seed=3)
    assert sorted(i for k in range(1, 5) for i in ids(batches.at(k))) == list(range(20))


def test_epochs_leave_out_different_rows():
    batches = Batches(X, BATCH, seed=0)
    seen = [frozenset(i for k in range(3) for i in ids(batches.at(e * 3 + k + 1))) for e in range(4)]
    assert len(set(seen)) > 1
    assert frozenset.union(*seen) == set(range(ROWS))


@pytest.mark.parametrize("world", [2, 3])
def test_workers_slices_in_order_are_the_batch_of_one_worker(world):
    for step in (1, 3, 4, 11):
        parts = [Batches(X, BATCH, seed=5, rank=rank, world=world).at(step) for rank in range(world)]
        assert all(len(part) == BATCH // world for part in parts)
        assert torch.equal(torch.cat(parts), Batches(X, BATCH, seed=5).at(step))


def test_a_batch_does_not_depend_on_what_was_asked_before():
    asked = Batches(X, BATCH, seed=1)
    in_order = [asked.at(step) for step in range(1, 13)]
    for step in (12, 1, 7, 7, 2, 9):
        assert torch.equal(asked.at(step), in_order[step - 1])
        assert torch.equal(Batches(X, BATCH, seed=1).at(step), in_order[step - 1])


def test_seeds_and_epochs_differ():
    draws = {tuple(ids(Batches(X, BATCH, seed=seed).at(step))) for seed in (0, 1, 2) for step in (1, 4, 7)}
    assert len(draws) == 9


@pytest.mark.parametrize("step", [1, 3, 5])
def test_the_array_s_place_does_not_change_the_batch(tmp_path, step):
    in_memory = Batches(X, BATCH, seed=2).at(step)
    assert torch.equal(Batches(on_disk(tmp_path, X), BATCH, seed=2).at(step), in_memory)
    assert torch.equal(Batches(torch.from_numpy(X), BATCH, seed=2).at(step), in_memory)
    assert torch.equal(Batches(X[:, ::-1][:, ::-1], BATCH, seed=2).at(step), in_memory)  # not contiguous


def test_pages_let_go_are_read_again_the_same(tmp_path, monkeypatch):
    mapped = on_disk(tmp_path, X)
    monkeypatch.setattr("gen_models.loader.RESIDENT_BYTES", X.nbytes - 1)
    batches = Batches(mapped, BATCH, seed=2)
    assert _read_only_map(mapped) is not None
    assert all(torch.equal(batches.at(k), Batches(X, BATCH, seed=2).at(k)) for k in range(1, 10))


def test_a_private_map_is_never_let_go_for_its_changes_would_be_lost(tmp_path, monkeypatch):
    on_disk(tmp_path, X)
    private = np.load(tmp_path / "x.npy", mmap_mode="c")
    private += 1
    monkeypatch.setattr("gen_models.loader.RESIDENT_BYTES", 1)
    batches = Batches(private, BATCH, seed=2)
    assert all(torch.equal(batches.at(k), Batches(X + 1, BATCH, seed=2).at(k)) for k in range(1, 10))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_an_array_larger_than_the_memory_allowed_is_read_within_it(tmp_path):
    """An epoch over a sparse file of 400 MB keeps less than 64 MB of it resident, at RESIDENT_BYTES of 32 MB."""
    program = """
import sys, numpy as np
from gen_models import loader
loader.RESIDENT_BYTES = 32 << 20
x = np.lib.format.open_memmap(sys.argv[1], mode="w+", dtype=np.uint8, shape=(400, 1_000_000))
x[7, 0] = 1
del x
batches = loader.Batches(np.load(sys.argv[1], mmap_mode="r"), 4, seed=0)
def mapped():  # kB of files in this process's memory
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssFile"))
first, peak, total = mapped(), 0, 0
for step in range(1, 101):
    total += int(batches.at(step)[:, 0].sum())
    peak = max(peak, mapped())
assert total == 1, total
print(peak - first)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "large.npy")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64_000


def test_integers_become_floats_and_floats_the_asked_type():
    assert Batches(X, BATCH, seed=0).at(1).dtype == torch.float32
    assert Batches(X, BATCH, seed=0, dtype=torch.float64).at(1).dtype == torch.float64
    values = np.linspace(0, 1, 10, dtype=np.float32)[:, None]
    assert set(Batches(values, 10, seed=0).at(1)[:, 0].tolist()) == set(values[:, 0].tolist())


def test_a_batch_is_a_copy():
    x = torch.zeros(4, 2)
    Batches(x, 4, seed=0).at(1).add_(1)
    assert x.sum() == 0
    array = np.zeros((4, 2), np.float32)
    Batches(array, 4, seed=0).at(1).add_(1)
    assert array.sum() == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_device_the_batch_is_the_same():
    want = Batches(X, BATCH, seed=4).at(5)
    for x, device in ((X, "cuda"), (torch.from_numpy(X).cuda(), None), (torch.from_numpy(X), "cuda")):
        batch = Batches(x, BATCH, seed=4, device=device).at(5)
        assert batch.device.type == "cuda"
        assert torch.equal(batch.cpu(), want)


def test_what_cannot_be_is_refused_with_the_numbers_and_the_fix():
    with pytest.raises(ConfigError, match=r"batch_size: 24 rows are more than the 23 of the data; choose at most 23"):
        Batches(X, 24, seed=0)
    with pytest.raises(ConfigError, match=r"batch_size: 7 rows do not divide among 3 workers; choose 6"):
        Batches(X, 7, seed=0, world=3)
    with pytest.raises(ConfigError, match=r"batch_size: 0 .* choose 1 \.\. 23"):
        Batches(X, 0, seed=0)
