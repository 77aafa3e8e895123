"""What a step of the engine costs beside a bare loop of the same mathematics: `python -m benchmarks.engine [ROW ...]`.

engine-vs-bare  time of a bare loop over time of `engine.fit`, the least over a VAE, a Real NVP and a WGAN, each with
                batches of 64, 256 and 1024 rows; 1 means that the engine costs nothing

The bare loops are what one would write by hand for one model: torch's own random numbers, a fused optimiser, no terms,
no checks. They compute the same losses as the confs' models. Both take turns in one process on one thread, and the
figure is the median over turns of the ratio of CPU times.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import rows
from benchmarks.inputs import Inputs
from gen_models.autoencoders.gaussian import MAX_LOG_VAR
from gen_models.bijections.coupling import MAX_LOG_SCALE
from gen_models.build import build_model, build_optimisers
from gen_models.engine import Training, fit
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.config.compose import compose

BATCHES = (64, 256, 1024)
TURNS = 15
SECONDS = 0.4  # of a turn, roughly
DATA = {"vae": "digits", "realnvp": "two_moons", "wgan": "two_moons"}
INPUTS = Inputs(["benchmarks.engine"], sorted(DATA), [])

Turn = Callable[[], object]  # takes the steps of a turn


def measure() -> None:
    """Write the row engine-vs-bare."""
    began, found = time.monotonic(), {}
    torch.set_num_threads(1)
    for model, bare in (("vae", bare_vae), ("realnvp", bare_realnvp), ("wgan", bare_wgan)):
        for batch in BATCHES:
            found[f"{model}, {batch} rows"] = ratio(model, batch, bare)
            print(f"{model}, {batch} rows: {found[f'{model}, {batch} rows']:.3f}", flush=True)
    rows.write(
        "engine-vs-bare",
        model="vae, realnvp, wgan",
        data="digits, two_moons",
        figure=min(found.values()),
        unit="of a bare loop's speed",
        target=0.95,
        better="higher",
        baselines=found,
        seeds=[0],
        spread=None,
        budget=f"median of {TURNS} turns of {SECONDS} s on one thread",
        seconds=time.monotonic() - began,
        inputs=INPUTS,
    )


def ratio(model: str, batch: int, bare: Callable[[dict, Tensor, int, int], Turn]) -> float:
    """Return the median over turns of the bare loop's CPU time over the engine's.

    batch: rows of a minibatch; bare: makes a turn of the bare loop from (conf, rows, batch, steps)
    """
    conf = compose(model, DATA[model], "quick")
    x = rows_of(conf)
    steps = max(10, int(SECONDS / seconds_of(bare(conf, x, batch, 20)) * 20))
    by_engine, by_hand = engine(conf, x, batch, steps), bare(conf, x, batch, steps)
    by_engine(), by_hand()
    return statistics.median(seconds_of(by_hand) / seconds_of(by_engine) for _ in range(TURNS))


def seconds_of(turn: Turn) -> float:
    """Return the CPU time of a turn."""
    began = time.process_time()
    turn()
    return time.process_time() - began


def rows_of(conf: dict) -> Tensor:
    """Return rows of the data's shape; what they hold does not change how long a step takes."""
    generator = np.random.default_rng(0)
    shape, levels = conf["data"]["event_shape"], conf["data"]["levels"]
    x = generator.normal(size=(4096, *shape)) if levels is None else generator.integers(0, levels, (4096, *shape))
    return torch.from_numpy(x.astype(np.float32))


def engine(conf: dict, x: Tensor, batch: int, steps: int) -> Turn:
    """Return a function that trains `steps` steps by the engine and ends with a report."""
    model = build_model(conf["model"], 0)
    model.warm_start(x, Noise(0))
    training = Training(model, build_optimisers(conf["optim"], model))
    batches = Batches(x, batch, 0)
    clip = conf["clip_norm"]
    reports = fit(training, batches, Noise(0), steps=10**9, report_every=steps, order=conf["order"], clip_norm=clip)
    return lambda: next(reports)


def batches_of(x: Tensor, batch: int) -> Iterator[Tensor]:
    """Yield batches without replacement, for ever."""
    while True:
        order = torch.randperm(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            yield x[order[start : start + batch]]


def layers(*widths: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Return a perceptron with layers of these widths, input and output included; no activation after the last."""
    parts: list[nn.Module] = []
    for n, m in pairwise(widths):
        parts += [nn.Linear(n, m), activation()]
    return nn.Sequential(*parts[:-1])


def adam(spec: dict, network: nn.Module) -> torch.optim.Adam:
    """Return the conf's optimiser, fused."""
    arguments = {key: value for key, value in spec.items() if key != "_target_"}
    return torch.optim.Adam(network.parameters(), fused=True, **arguments)


def bare_vae(conf: dict, x: Tensor, batch: int, steps: int) -> Turn:
    """Return a turn of a VAE with a Gaussian decoder on dequantised levels, written by hand.

    Log variances are bounded as in the engine's model; constants of the loss are left out.
    """
    model, levels = conf["model"], conf["data"]["levels"]
    widths, latent = model["hidden"], model["latent"]
    flat, dims = x.flatten(1), math.prod(conf["data"]["event_shape"])
    encoder = layers(dims, *widths, 2 * latent, activation=nn.SiLU)
    decoder = layers(latent, *widths[::-1], dims, activation=nn.SiLU)
    optimiser = adam(conf["optim"]["vae"], nn.ModuleList([encoder, decoder]))
    source = batches_of(flat, batch)

    def turn() -> None:
        for _ in range(steps):
            rows_ = next(source)
            y = (rows_ + torch.rand_like(rows_)) / levels
            mu, raw = encoder(y).chunk(2, dim=1)
            log_var = MAX_LOG_VAR * torch.tanh(raw / MAX_LOG_VAR)
            z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
            distortion = (y - decoder(z)).square().sum(dim=1).mean() / (2 * model["sigma"] ** 2)
            rate = 0.5 * (log_var.exp() + mu.square() - 1 - log_var).sum(dim=1).mean()
            optimiser.zero_grad()
            (distortion + model["beta"] * rate).backward()
            optimiser.step()

    return turn


def bare_realnvp(conf: dict, x: Tensor, batch: int, steps: int) -> Turn:
    """Return a turn of a Real NVP, written by hand: affine couplings that move one half of a row, then the other half.

    Scales are bounded as in the engine's model; constants of the loss are left out.
    """
    model = conf["model"]
    half = x.shape[1] // 2
    nets = nn.ModuleList(
        layers(half, *model["hidden"], 2 * half, activation=nn.ReLU) for _ in range(model["couplings"])
    )
    optimiser = adam(conf["optim"]["likelihood"], nets)
    parameters = list(nets.parameters())
    y = (x - x.mean(dim=0)) / x.std(dim=0)
    source = batches_of(y, batch)

    def turn() -> None:
        for _ in range(steps):
            kept, moved = next(source).chunk(2, dim=1)
            log_det: Tensor | float = 0.0
            for net in nets:
                raw, t = net(kept).chunk(2, dim=1)
                s = MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE)
                kept, moved = s.exp() * moved + t, kept
                log_det = log_det + s.sum(dim=1)
            log_p = -0.5 * (kept.square().sum(dim=1) + moved.square().sum(dim=1)) + log_det
            optimiser.zero_grad()
            (-log_p.mean()).backward()
            nn.utils.clip_grad_norm_(parameters, conf["clip_norm"])
            optimiser.step()

    return turn


def bare_wgan(conf: dict, x: Tensor, batch: int, steps: int) -> Turn:
    """Return a turn of a Wasserstein GAN with a gradient penalty, written by hand.

    The critic takes n_dis steps for each step of the generator.
    """
    model, dims = conf["model"], x.shape[1]
    latent = model["latent"]
    generator = layers(latent, *model["hidden"], dims, activation=nn.SiLU)
    critic = layers(dims, *model["hidden"], 1, activation=nn.ReLU)
    of_critic, of_generator = adam(conf["optim"]["critic"], critic), adam(conf["optim"]["generator"], generator)
    source = batches_of((x - x.mean(dim=0)) / x.std(dim=0), batch)
    count = itertools.count(1)

    def turn() -> None:
        for _ in range(steps):
            y = next(source)
            with torch.no_grad():
                fakes = generator(torch.randn(batch, latent))
            e = torch.rand(batch, 1)
            between = (e * y + (1 - e) * fakes).requires_grad_()
            (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            penalty = model["penalty"] * (slopes.norm(dim=1) - 1).square().mean()
            of_critic.zero_grad()
            (critic(fakes).mean() - critic(y).mean() + penalty).backward()
            of_critic.step()
            if next(count) % model["n_dis"] == 0:
                of_generator.zero_grad()
                (-critic(generator(torch.randn(batch, latent))).mean()).backward(inputs=list(generator.parameters()))
                of_generator.step()

    return turn


if __name__ == "__main__":
    rows.run({"engine-vs-bare": measure}, prog="python -m benchmarks.engine", description=__doc__ or "")
