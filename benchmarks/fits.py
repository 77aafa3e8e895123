"""Fits one Gaussian to data from two Gaussians by an f-GAN, to see which fit each divergence prefers.

The generator is G(z) = mu + s z. The density p of the data is known, so D_f(p||N(mu, s^2)) is computed by quadrature.
The best (mu, s) is found by Nelder and Mead's simplex from many starts. The figure says by how many percent the fitted
divergence exceeds the lowest one. All divergences but KL also have local optima at single modes, so the end of a game
depends on its start. The reported seed is the one whose own critic finds the lowest divergence on validation rows.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from benchmarks import plan, training
from gen_models.adversarial.divergences import DIVERGENCES
from gen_models.contracts import objectives_of
from gen_models.evaluating import evaluating
from gen_models.noise import Noise
from pipelines.data.sources.gaussians import MIXTURES
from pipelines.evaluation.trained_run import Trained

MANY = {"options": {"rows": 400_000}, "split": {"train": 0.9, "validation": 0.05, "test": 0.05}}
GRID = torch.linspace(-14, 14, 14_001, dtype=torch.float64)
LEAST_DENSITY = 1e-290  # lower densities could round to 0, and a ratio would not be a number


class Gaussian(NamedTuple):
    mu: float
    sigma: float


class Fit(NamedTuple):
    """The fit of one seed, and its critic's estimate of the divergence."""

    found: Gaussian
    estimate: float


def fit(name: str, row: plan.Row) -> None:
    """Measure by how many percent the divergence that the chosen seed reaches is above the lowest divergence."""
    began, dataset, fits = time.monotonic(), training.data(row.data, **MANY), []
    for seed in row.seeds:
        played = training.play(row.model, dataset, row.settings, steps=row.steps, seed=seed)
        fits.append(Fit(gaussian_of(played.trained), estimate_of(played.trained)))
        print(f"{name}, seed {seed}: N({fits[-1].found.mu:.3f}, {fits[-1].found.sigma:.3f}^2)", flush=True)
    divergence = divergence_from(row.data, row.settings["model.divergence"])
    best = optimum(divergence)
    chosen = min(fits, key=lambda one: one.estimate).found
    least, reached = divergence(best), divergence(chosen)
    excesses = [100 * (divergence(one.found) / least - 1) for one in fits]
    plan.write(
        "games",
        name,
        row,
        100 * (reached / least - 1),
        "% above the optimum",
        spread=max(excesses) - min(excesses),
        baselines={
            "least divergence": least,
            "divergence reached": reached,
            "best |mu|": abs(best.mu),
            "|mu| reached": abs(chosen.mu),
            "best sigma": best.sigma,
            "sigma reached": chosen.sigma,
        },
        budget=f"{row.steps} minibatches of {played.batch_size}, {played.seconds:.0f} s a seed",
        seconds=time.monotonic() - began,
    )


def gaussian_of(trained: Trained) -> Gaussian:
    """Return mu = G(0) and s = |G(1) - G(0)| of the affine generator G, in the units of the data."""
    model = trained.model
    with torch.no_grad():
        low, high = model.data_scale.uncentre(model.generator(torch.tensor([[0.0], [1.0]])))[:, 0].tolist()
    return Gaussian(low, abs(high - low))


def estimate_of(trained: Trained) -> float:
    """Return the critic's lower bound on the divergence, on validation rows."""
    critic = objectives_of(trained.model)[0]
    with evaluating(trained.model):
        return critic.loss(trained.normal("validation"), Noise(0)).terms["divergence"].item()


def divergence_from(data: str, name: str) -> Callable[[Gaussian], float]:
    """Return D_f(p||N(mu, s^2)) = integral q f(p/q), by the trapezium rule, exact up to rounding for smooth tails."""
    f = DIVERGENCES[name].f
    p = torch.from_numpy(np.exp(MIXTURES[data].log_density(GRID[:, None].numpy()))).clamp_min(LEAST_DENSITY)

    def divergence(g: Gaussian) -> float:
        q = normal_density(g).clamp_min(LEAST_DENSITY)
        return torch.trapezoid(q * f(p / q), GRID).item()

    return divergence


def normal_density(g: Gaussian) -> Tensor:
    """Return the density of N(mu, s^2) on GRID."""
    return torch.exp(-0.5 * ((GRID - g.mu) / g.sigma).square()) / (g.sigma * math.sqrt(2 * math.pi))


def optimum(divergence: Callable[[Gaussian], float]) -> Gaussian:
    """Return the Gaussian with the lowest divergence, from narrow and wide starts at and between the modes."""
    ends = [
        minimize(lambda v: divergence(Gaussian(v[0], math.exp(v[1]))), [mu, math.log(s)], method="Nelder-Mead")
        for mu in np.linspace(-3, 3, 7)
        for s in (0.5, 1.0, 2.0)
    ]
    best = min(ends, key=lambda end: float(end.fun))
    return Gaussian(float(best.x[0]), math.exp(best.x[1]))
