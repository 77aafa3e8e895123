"""Compares a critic's estimate of the Wasserstein distance of two finite samples with the exact distance.

    W = max over 1-Lipschitz T of 1/n sum_i T(x_i) - T(y_i) = min over permutations pi of 1/n sum_i |x_i - y_pi(i)|

The critic alone is trained: the critic of conf/model/wgan.yaml, under a constraint that makes each layer 1-Lipschitz.
The exact distance is computed by the second form, by sorting on the line and by linear assignment in the plane. The
pairs of samples are:

    shift    N(2, 1) and N(0, 1)
    scale    N(0, 4) and N(0, 1), whose best T is near |x|
    DATA     rows of the row's data set and a standard Gaussian of the plane

The figure is the largest absolute error, over pairs and seeds, of the critic with the activation MaxMin, in percent of
W. Beside it are the errors of the critic with ReLU, which loses gradient norm at each layer. Weights start as
orthogonal matrices, with which MaxMin keeps the gradient norm. Errors have signs: an estimate above W would mean that
the critic is not 1-Lipschitz.
"""

import time
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from benchmarks import plan, training
from gen_models.adversarial.wgan import WGAN
from gen_models.build import build_model, build_optimisers
from gen_models.contracts import Loss, Objective
from gen_models.engine import Training, fit
from gen_models.evaluating import evaluating
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.config.compose import compose, override

ACTIVATIONS = ("maxmin", "relu")


def transport(name: str, row: plan.Row) -> None:
    """Measure the worst error of the MaxMin critic; with several seeds, the spread is the largest range over them."""
    began, beside, ranges, worst = time.monotonic(), {}, [], 0.0
    for pair, (x, y) in pairs(row).items():
        exact = exact_distance(x, y)
        beside[f"{pair}, exact"] = exact
        for activation in ACTIVATIONS:
            estimates = [estimate(row, x, y, activation, seed) for seed in row.seeds]
            errors = [100 * (found - exact) / exact for found in estimates]
            beside[f"{pair}, {activation}"] = float(np.mean(estimates))
            beside[f"{pair}, {activation}, error in %"] = max(errors, key=abs)
            print(f"{pair}, {activation}: {np.mean(estimates):.4f} of {exact:.4f}, errors in %:", *errors, flush=True)
            if activation == "maxmin":
                worst = max(worst, *map(abs, errors))
                ranges.append(max(errors) - min(errors))
    plan.write(
        "games",
        name,
        row,
        worst,
        "% of the exact distance",
        spread=max(ranges) if len(row.seeds) > 1 else None,
        baselines=beside,
        budget=f"{row.steps} minibatches of {row.settings['batch_size']} of {row.options['rows']} rows, "
        f"{len(row.seeds)} times for each pair and activation",
        seconds=time.monotonic() - began,
    )


def pairs(row: plan.Row) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the pairs of samples, {name: (x, y)}, each (n, D)."""
    n, noise, like = row.options["rows"], Noise(0), torch.empty(0)
    x = training.data(row.data).rows("train")[:n]

    def normal(stream: str, dimensions: int) -> Tensor:
        return noise.normal(stream, (n, dimensions), like)

    return {
        "shift": (2 + normal("shift/x", 1), normal("shift/y", 1)),
        "scale": (2 * normal("scale/x", 1), normal("scale/y", 1)),
        row.data: (x, normal(f"{row.data}/y", x.shape[1])),
    }


def exact_distance(x: Tensor, y: Tensor) -> float:
    """Return W1 between two samples of the same size under the Euclidean distance."""
    a, b = x.double().numpy(), y.double().numpy()
    if a.shape[1] == 1:
        return float(wasserstein_distance(a[:, 0], b[:, 0]))
    cost = cdist(a, b)
    return float(cost[linear_sum_assignment(cost)].mean())


class Alone(nn.Module):
    """The critic of a game without a generator. A row (2, D) is a pair, with one point of each sample."""

    def __init__(self, game: WGAN):
        super().__init__()
        self.critic, self.losses, self.constrain = game.critic, game.losses, game.constrain

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("critic", self.critic, self.loss, after_step=self.constrain),)

    def loss(self, rows: Tensor, noise: Noise) -> Loss:
        values = self.critic(rows.flatten(0, 1)).unflatten(0, (-1, 2))
        return self.losses.critic(values[:, 0], values[:, 1])


def estimate(row: plan.Row, x: Tensor, y: Tensor, activation: str, seed: int) -> float:
    """Return the trained critic's mean over x minus its mean over y."""
    conf = override(compose(row.model, row.data, "quick"), row.settings)
    torch.set_num_threads(conf["threads"])
    spec = {"event_shape": [x.shape[1]], "activation": activation, "critic_hidden": row.options["critic"]}
    game: Any = build_model({**conf["model"], **spec}, seed)
    for parameter in game.critic.parameters():
        if parameter.ndim == 2:
            nn.init.orthogonal_(parameter)
    alone = Alone(game)
    run = Training(alone, build_optimisers({"critic": conf["optim"]["critic"]}, alone))
    batches = Batches(torch.stack([x, y], dim=1), conf["batch_size"], seed)
    schedule = conf["schedule"]
    for _ in fit(run, batches, Noise(seed), steps=row.steps, report_every=row.steps, schedule=schedule):
        pass
    with evaluating(alone), torch.no_grad():
        return (alone.critic(x).double().mean() - alone.critic(y).double().mean()).item()
