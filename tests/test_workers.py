"""Two workers with half of each batch are one worker with the whole: gradients, statistics and projections included."""

import os
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file

from gen_models.engine import Report, Training, fit
from gen_models.loader import Batches
from gen_models.noise import Noise
from tests.models import ROWS, Row, build, data_of

STEPS = 4  # more than an epoch, and two steps of each player
GAMES = [row for row in ROWS if "critic" in row.offers]
BATCH = 24
SECONDS = 120


def played(row: Row, rank: int, world: int, order: str = "alternating") -> tuple[Training, list[Report]]:
    """A model of the table after STEPS steps in float64 from its warm start."""
    x = data_of(row)
    model = build(row)
    model.warm_start(x, Noise(1))
    optimisers = {o.name: torch.optim.Adam(o.module.parameters(), lr=1e-3) for o in model.objectives()}
    training = Training(model, optimisers)
    batches = Batches(x, BATCH, 5, rank=rank, world=world, dtype=torch.float64)
    noise = Noise(5, rank=rank, world=world)
    return training, list(fit(training, batches, noise, steps=STEPS, report_every=4, order=order))


def worker(rank: int, folder: str) -> None:
    """Write what this worker of two reaches, a file for each model; it waits for the other for SECONDS at most."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=SECONDS))
    for row in ROWS:
        training, reports = played(row, rank, 2)
        terms = {
            f"term/{r.step}/{k}": torch.tensor(v, dtype=torch.float64) for r in reports for k, v in r.terms.items()
        }
        weights = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
        save_file({**weights, **terms}, f"{folder}/{row.name}.{rank}")


def other_worker(_: int, folder: str) -> None:
    worker(1, folder)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """What two gloo workers reached, this process and another: a file for each model and worker."""
    folder = tmp_path_factory.mktemp("two")
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    how = "spawn" if torch.cuda.is_available() else "fork"  # a fork imports nothing; with a GPU it may not use autograd
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.distributed.nn.functional.all_reduce", FutureWarning)
        other = mp.start_processes(other_worker, (str(folder),), 1, join=False, daemon=True, start_method=how)
        try:
            worker(0, str(folder))
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
    while not other.join():
        pass
    return folder


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_two_workers_equal_one(row, two):
    training, reports = played(row, 0, 1)
    for rank in range(2):
        found = load_file(two / f"{row.name}.{rank}")
        for name, expected in training.model.state_dict().items():
            torch.testing.assert_close(found[name], expected, atol=1e-8, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
        for report in reports:
            for term, value in report.terms.items():
                assert found[f"term/{report.step}/{term}"].item() == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("row", GAMES, ids=str)
def test_a_game_played_simultaneously_twice_is_the_same_bit_for_bit(row):
    require_equal(played(row, 0, 1, "simultaneous"), played(row, 0, 1, "simultaneous"))


def require_equal(one: tuple[Training, list[Report]], other: tuple[Training, list[Report]]) -> None:
    assert one[1] == other[1]
    for name, tensor in one[0].model.state_dict().items():
        assert torch.equal(other[0].model.state_dict()[name], tensor), name


def test_the_order_of_play_matters_to_a_game():
    row = next(row for row in ROWS if row.name == "sn_wgan relu")
    first, _ = played(row, 0, 1, "alternating")
    second, _ = played(row, 0, 1, "simultaneous")
    same = [torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True)]
    assert not all(same)
