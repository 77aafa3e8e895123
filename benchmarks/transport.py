"""What a critic takes the Wasserstein distance to be, beside the exact one of the same finite samples.

    W(P, Q) = sup {E_P T - E_Q T : T 1-Lipschitz},   P, Q two sets of `rows` points

Exact W is the mean distance of the sorted points on the line, and that of the best assignment in the plane. The critic
alone is trained, by the engine, on all points at each step; its layers are divided by their largest singular values.
MaxMin sorts pairs and keeps the norm of gradients. ReLU loses it: a change of scale asks for |x|, of slope 1 on both
sides, which no ReLU network has under this constraint. The figure is the worst pair's error with MaxMin.
"""

import time
from collections.abc import Callable
from functools import partial

import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from benchmarks import plan
from gen_models.adversarial.wasserstein import ACTIVATIONS, WassersteinLosses
from gen_models.contracts import Loss, Objective
from gen_models.engine import Training, fit
from gen_models.layers.lipschitz import LipschitzMLP
from gen_models.layers.spectral_norm import follow
from gen_models.measures.evaluation import evaluating
from gen_models.noise import Noise
from pipelines.sources.gaussians import MIXTURES

LIKE = torch.zeros(())


class Estimator(nn.Module):
    """A critic that tells the first half of a row's columns from the second: a game without a generator."""

    def __init__(self, dims: int, width: int, depth: int, activation: str):
        super().__init__()
        self.critic = LipschitzMLP(
            dims, [width] * depth, activation=ACTIVATIONS[activation], kept_by="normalisation"
        )  # fmt: skip

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("critic", self.critic, self.loss, after_step=partial(follow, self.critic)),)

    def loss(self, x: Tensor, noise: Noise) -> Loss:
        p, q = x.chunk(2, dim=1)
        return WassersteinLosses().critic(self.critic(p), self.critic(q))


class Whole:
    """Every batch is all rows."""

    def __init__(self, x: Tensor):
        self.x = x

    def at(self, step: int) -> Tensor:
        return self.x


def shift(noise: Noise, rows: int) -> tuple[Tensor, Tensor]:
    """N(0, 1) and N(2, 1)."""
    return noise.normal("p", (rows, 1), LIKE), 2 + noise.normal("q", (rows, 1), LIKE)


def scale(noise: Noise, rows: int) -> tuple[Tensor, Tensor]:
    """N(0, 1) and N(0, 2^2)."""
    return noise.normal("p", (rows, 1), LIKE), 2 * noise.normal("q", (rows, 1), LIKE)


def ring(noise: Noise, rows: int) -> tuple[Tensor, Tensor]:
    """The ring of eight and N(0, I), in the plane."""
    return torch.from_numpy(MIXTURES["ring8"].draw(noise, rows=rows).x), noise.normal("q", (rows, 2), LIKE)


PAIRS: dict[str, Callable[[Noise, int], tuple[Tensor, Tensor]]] = {"shift": shift, "scale": scale, "ring8": ring}


def transport(name: str, row: plan.Row) -> None:
    """The worst error of MaxMin in percent, over pairs and seeds."""
    began, told, errors = time.monotonic(), {}, []
    rows, width, depth = (row.options[key] for key in ("rows", "width", "depth"))
    for pair, draw in PAIRS.items():
        for seed in row.seeds:
            p, q = draw(Noise(seed), rows)
            exact = exact_distance(p, q)
            found = {kind: estimate(p, q, width, depth, kind, row, seed) for kind in ("maxmin", "relu")}
            errors.append(100 * abs(found["maxmin"] / exact - 1))
            told |= {f"{pair}, seed {seed}: {kind}": value for kind, value in {"exact": exact, **found}.items()}
            print(f"{pair}, seed {seed}: exact {exact:.4f}, " + ", ".join(f"{k} {v:.4f}" for k, v in found.items()))
    plan.write(
        "games",
        name,
        row,
        max(errors),
        "% of the exact W",
        spread=max(errors) - min(errors),
        baselines={what: round(value, 5) for what, value in told.items()},
        budget=f"{row.steps} steps of {rows} points of each, {2 * len(errors)} critics",
        seconds=time.monotonic() - began,
    )


def estimate(p: Tensor, q: Tensor, width: int, depth: int, activation: str, row: plan.Row, seed: int) -> float:
    """E_P T - E_Q T of the trained critic on the points that it was trained on."""
    torch.manual_seed(seed)
    model = Estimator(p.shape[1], width, depth, activation)
    optimiser = torch.optim.Adam(model.critic.parameters(), lr=row.options["lr"], betas=(0.5, 0.99))
    x = torch.cat([p, q], dim=1)
    run = Training(model, {"critic": optimiser})
    for _ in fit(run, Whole(x), Noise(seed), steps=row.steps, report_every=row.steps, schedule="cosine"):
        pass
    with evaluating(model):
        return -model.loss(x, Noise(seed)).value.item()


def exact_distance(p: Tensor, q: Tensor) -> float:
    """W of two sets of as many points."""
    if p.shape[1] == 1:
        return float(wasserstein_distance(p[:, 0].numpy(), q[:, 0].numpy()))
    costs = torch.cdist(p.double(), q.double(), compute_mode="donot_use_mm_for_euclid_dist").numpy()
    return float(costs[linear_sum_assignment(costs)].mean())
