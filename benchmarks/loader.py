"""`python -m benchmarks.loader`: measures what the loader costs, on an idle machine, with MNIST in GEN_MODELS_DATA.

loader-cost  the time to draw a minibatch, as a share of a VAE's training step on it, on one thread of the CPU

Minibatches are drawn from rows in memory, as for data of this size, and from rows mapped from disk, as for data larger
than memory; the figure is the worse of the two. Rounds of training steps without the loader alternate with rounds of
the loader, so that both see the same state of the machine, and the medians of the rounds are compared. Epochs end
within a round, so the permutation of the rows is part of the time.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import rows
from benchmarks.inputs import Inputs
from gen_models.build import build_model, build_optimisers
from gen_models.engine import Training, fit
from gen_models.errors import GenModelsError
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.config.compose import compose
from pipelines.config.conf_files import data_conf
from pipelines.data import prepare
from pipelines.data.store import Dataset, open_folder

ROUNDS = 15
STEPS = 100  # in a round
DRAWS = 500  # in a round; more than an epoch, which has 421 minibatches
SEED = 0
TARGET = 2.0
INPUTS = Inputs(["benchmarks.loader"], ["vae"], ["mnist"])


def main() -> None:
    began = time.monotonic()
    torch.set_num_threads(1)
    conf = compose("vae", "mnist", "quick")
    with tempfile.TemporaryDirectory() as folder:
        try:
            prepare.prepare(Path(folder), "mnist", data_conf("mnist"), SEED)
        except GenModelsError as error:
            raise SystemExit(f"loader-cost: {error}") from None
        found = measure(open_folder(Path(folder)), conf)
    costs = {name: 100 * found[name] / found["step"] for name in ("resident", "mapped")}
    rows.write(
        "loader-cost",
        model="vae",
        data="mnist",
        figure=max(costs.values()),
        unit="%",
        target=TARGET,
        baselines={
            "from memory, %": costs["resident"],
            "mapped from disk, %": costs["mapped"],
            "a step, ms": 1000 * found["step"],
        },
        seeds=[SEED],
        spread=100 * found["spread"] / found["step"],
        budget=f"{ROUNDS} rounds of {STEPS} steps and {DRAWS} batches of {conf['batch_size']}",
        seconds=time.monotonic() - began,
        inputs=INPUTS,
    )


def measure(dataset: Dataset, conf: dict) -> dict[str, float]:
    """Return {"step", "resident", "mapped", "spread"}, in seconds.

    They are the median over rounds of the time of one training step, of one minibatch from rows in memory and of one
    from rows mapped from disk, and the distance between the quartiles of the slower loader.
    """
    model = build_model(conf["model"], SEED)
    training = Training(model, build_optimisers(conf["optim"], model))
    one = Held(Batches(dataset.rows("train"), conf["batch_size"], SEED))
    loaders = {
        "resident": Batches(dataset.rows("train"), conf["batch_size"], SEED),
        "mapped": Batches(dataset.x("train"), conf["batch_size"], SEED),
    }
    taken: dict[str, list[float]] = {"step": [], **{name: [] for name in loaders}}
    for turn in range(ROUNDS + 1):  # the first round is a warm-up
        steps = (turn + 1) * STEPS
        reports = fit(training, one, Noise(SEED), steps=steps, report_every=STEPS)
        seconds = {"step": clock(lambda played=reports: list(played), STEPS)}
        for name, loader in loaders.items():
            seconds[name] = clock(lambda batches=loader, first=turn * DRAWS + 1: draw(batches, first), DRAWS)
        if turn:
            for name, value in seconds.items():
                taken[name].append(value)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    low, _, high = statistics.quantiles(taken[max(loaders, key=medians.__getitem__)], n=4)
    return {**medians, "spread": high - low}


class Held:
    """A source of minibatches that returns the same minibatch at every step, so a training on it has no loader."""

    def __init__(self, batches: Batches):
        self._batch = batches.at(1)

    def at(self, step: int) -> torch.Tensor:
        return self._batch


def draw(batches: Batches, first: int) -> None:
    for step in range(first, first + DRAWS):
        batches.at(step)


def clock(act: Callable[[], object], count: int) -> float:
    """Call `act`, which does something `count` times; return the seconds for one time."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) / count


if __name__ == "__main__":
    main()
