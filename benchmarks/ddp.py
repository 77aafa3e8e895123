"""What a step on two workers costs beside PyTorch's own DistributedDataParallel: `python -m benchmarks.ddp`.

ddp-ratio   time of a loop with DistributedDataParallel over time of `engine.fit` with two gloo workers of one thread
            each, the least over global batches of 128 and 1024 digits; 1 means that the engine costs nothing

The bare loop is that of benchmarks/engine.py for a VAE of the same widths, with DistributedDataParallel around it and a
fused optimiser. Both take turns in the same two processes, and the figure is the median over turns of the ratio of wall
times, since a worker that waits for the other one uses no CPU time.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks import rows
from benchmarks.engine import adam, batches_of, layers, rows_of
from benchmarks.inputs import Inputs
from gen_models.autoencoders.gaussian import MAX_LOG_VAR
from gen_models.build import build_model, build_optimisers
from gen_models.engine import Training, fit
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.config.compose import compose

WORLD = 2
BATCHES = (128, 1024)
TURNS, STEPS = 15, 60
INPUTS = Inputs(["benchmarks.ddp"], ["vae"], [])


def measure() -> None:
    """Write the row ddp-ratio."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, args=(folder,), nprocs=WORLD)
        found = json.loads((Path(folder) / "ratios.json").read_text())
    rows.write(
        "ddp-ratio",
        model="vae",
        data="digits",
        figure=min(ratio for name, ratio in found.items() if name.endswith("rows")),
        unit="of DistributedDataParallel's speed",
        target=0.95,
        better="higher",
        baselines=found,
        seeds=[0],
        spread=None,
        budget=f"{WORLD} gloo workers of one thread, median of {TURNS} turns of {STEPS} steps",
        seconds=time.monotonic() - began,
        inputs=INPUTS,
    )


def worker(rank: int, folder: str) -> None:
    """Measure on the worker `rank`; the first worker writes {name: ratio or steps a second} to FOLDER/ratios.json."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    found = {}
    for batch in BATCHES:
        conf = compose("vae", "digits", "quick")
        x = rows_of(conf)
        ours, theirs = engine(conf, x, batch, rank), bare(conf, x, batch // WORLD)
        ours(), theirs()
        pairs = [(seconds_of(theirs), seconds_of(ours)) for _ in range(TURNS)]
        found[f"{batch} rows"] = statistics.median(bare / own for bare, own in pairs)
        found[f"{batch} rows, steps a second"] = STEPS / statistics.median(own for _, own in pairs)
    if rank == 0:
        (Path(folder) / "ratios.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def seconds_of(turn: Callable[[], object]) -> float:
    """Return the wall time of a turn that both workers begin together."""
    dist.barrier()
    began = time.monotonic()
    turn()
    dist.barrier()
    return time.monotonic() - began


def engine(conf: dict, x: Tensor, batch: int, rank: int) -> Callable[[], object]:
    """Return a function that trains STEPS steps by the engine on this worker's share of each batch.

    batch: the rows of a batch of all workers together
    """
    model = build_model(conf["model"], 0)
    training = Training(model, build_optimisers(conf["optim"], model))
    batches, noise = Batches(x, batch, 0, rank=rank, world=WORLD), Noise(0, rank=rank, world=WORLD)
    reports = fit(training, batches, noise, steps=10**9, report_every=STEPS)
    return lambda: next(reports)


class BareVAE(nn.Module):
    """A VAE with a Gaussian decoder whose `forward` returns the loss, as DistributedDataParallel needs it."""

    def __init__(self, conf: dict):
        super().__init__()
        model, dims = conf["model"], 64
        widths, latent = model["hidden"], model["latent"]
        self.encoder = layers(dims, *widths, 2 * latent, activation=nn.SiLU)
        self.decoder = layers(latent, *widths[::-1], dims, activation=nn.SiLU)
        self.sigma, self.beta, self.levels = model["sigma"], model["beta"], conf["data"]["levels"]

    def forward(self, x: Tensor) -> Tensor:
        y = (x + torch.rand_like(x)) / self.levels
        mu, raw = self.encoder(y).chunk(2, dim=1)
        log_var = MAX_LOG_VAR * torch.tanh(raw / MAX_LOG_VAR)
        z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
        distortion = (y - self.decoder(z)).square().sum(dim=1).mean() / (2 * self.sigma**2)
        rate = 0.5 * (log_var.exp() + mu.square() - 1 - log_var).sum(dim=1).mean()
        return distortion + self.beta * rate


def bare(conf: dict, x: Tensor, batch: int) -> Callable[[], object]:
    """Return a function that trains STEPS steps by a loop with DistributedDataParallel.

    batch: the rows of this worker's share of a batch
    """
    model = DistributedDataParallel(BareVAE(conf))
    optimiser = adam(conf["optim"]["vae"], model)
    source = batches_of(x.flatten(1), batch)

    def turn() -> None:
        for _ in range(STEPS):
            optimiser.zero_grad()
            model(next(source)).backward()
            optimiser.step()

    return turn


if __name__ == "__main__":
    rows.run({"ddp-ratio": measure}, prog="python -m benchmarks.ddp", description=str(__doc__))
