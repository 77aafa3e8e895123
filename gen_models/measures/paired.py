"""Which of two models is better on the same rows, with an interval: each row is asked of both.

Rows differ far more from one another than two models do on one row. The difference of a row has none of that spread, so
an interval for the mean difference is much narrower than those of the two means would suggest.

    per row   mean_i d_i +- t s / sqrt(n), with d_i = a_i - b_i and the 97.5% quantile t of Student's distribution
    of MMD^2  rows and draws are drawn anew, 2,000 times (the bootstrap, Efron, 1979), in pairs of distinct ones
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.contracts import Density
from gen_models.evaluating import as_sampled, by_rows, draw, elbo, evaluating, log_prob
from gen_models.measures.samples import bandwidths
from gen_models.measures.sweep_metrics import IMPORTANCE_SAMPLES, MMD_ROWS, Ruler
from gen_models.noise import Noise

CONFIDENCE = 0.95
RESAMPLES = 2000


class Difference(NamedTuple):
    """A mean difference a - b with its interval, and how many rows it is of. lower is better, so below 0 a is better"""

    value: float
    low: float
    high: float
    rows: int


def row_values(metric: str, model: Any, x: Float[Tensor, "batch *event"], ruler: Ruler) -> Float[Tensor, " batch"]:
    """Return the metric of each row, float64; its mean is what sweep_metrics.py returns. metric: a key of PER_ROW"""
    with evaluating(model):
        return PER_ROW[metric](model, x, ruler).double()


def paired(a: Float[Tensor, " rows"], b: Float[Tensor, " rows"], confidence: float = CONFIDENCE) -> Difference:
    """Return the mean of a - b with Student's interval; of fewer than two rows, the interval is infinite."""
    from scipy.stats import t  # takes a second

    d = (a - b).double().numpy()
    spread = float(d.std(ddof=1)) / len(d) ** 0.5 if len(d) > 1 else np.inf
    half = float(t.ppf((1 + confidence) / 2, len(d) - 1)) * spread if len(d) > 1 else np.inf
    return Difference(float(d.mean()), float(d.mean()) - half, float(d.mean()) + half, len(d))


def paired_mmd(
    a: Any, b: Any, x: Float[Tensor, "batch *event"], ruler: Ruler, confidence: float = CONFIDENCE
) -> Difference | None:
    """Return the difference of MMD^2 of two samplers to the same rows; None if they draw in different spaces."""
    picked = x[ruler.noise.permutation("mmd rows", len(x))[:MMD_ROWS]]
    rows = as_sampled(a, picked, ruler.noise)
    if not torch.equal(rows, as_sampled(b, picked, ruler.noise)):
        return None
    widths = ruler.bandwidths or bandwidths(ruler.units(rows))
    grams = []
    for model in (a, b):
        with evaluating(model):
            draws = draw(model, len(rows), ruler.noise).to(rows)
        units = [ruler.units(part).flatten(1).double() for part in (draws, rows)]
        grams.append((_kernel(units[0], units[0], widths), _kernel(units[0], units[1], widths)))
    once = torch.ones(1, len(rows), dtype=torch.float64)
    value = _mmd_without_rows(grams[0], once, once) - _mmd_without_rows(grams[1], once, once)
    of_rows, of_draws = (_counts(len(rows), Noise(0), name) for name in ("rows", "draws"))
    found = _mmd_without_rows(grams[0], of_draws, of_rows) - _mmd_without_rows(grams[1], of_draws, of_rows)
    low, high = np.quantile(found.numpy(), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(value.item(), float(low), float(high), len(rows))


def _nats(model: Any, x: Tensor, ruler: Ruler) -> Tensor:
    return -(log_prob if isinstance(model, Density) else elbo)(model, x, ruler.noise)


def _nats_iw50(model: Any, x: Tensor, ruler: Ruler) -> Tensor:
    return -elbo(model, x, ruler.noise, samples=IMPORTANCE_SAMPLES, draws=1)


def _mse(model: Any, x: Tensor, ruler: Ruler) -> Tensor:
    squared = by_rows(lambda rows: (ruler.units(model.reconstruct(rows)) - ruler.units(rows)).square(), x)
    return squared.flatten(1).mean(dim=1)


PER_ROW: dict[str, Callable[[Any, Tensor, Ruler], Tensor]] = {"nats": _nats, "nats_iw50": _nats_iw50, "mse": _mse}


def _kernel(a: Tensor, b: Tensor, widths: Sequence[float]) -> Tensor:
    squared = torch.cdist(a, b).square()
    return torch.stack([torch.exp(-squared / (2 * h**2)) for h in widths]).mean(dim=0)


def _mmd_without_rows(grams: tuple[Tensor, Tensor], draws: Tensor, rows: Tensor) -> Tensor:
    """Return MMD^2 without its term of rows alone, which is the same for both models, for each set of counts.

    grams: the kernels of draws with draws and with rows; draws, rows: (sets, n) how often each is in a set
    """
    within, across = grams
    same = draws.square() @ within.diagonal()  # a draw that is there twice makes no pair with itself
    pairs = draws.sum(dim=1).square() - draws.square().sum(dim=1)
    of_pairs = ((draws @ within) * draws).sum(dim=1) - same
    crossed = ((draws @ across) * rows).sum(dim=1) / (draws.sum(dim=1) * rows.sum(dim=1))
    return of_pairs / pairs - 2 * crossed


def _counts(n: int, noise: Noise, name: str) -> Float[Tensor, "sets n"]:
    """Return how often each of n things is drawn, in each of RESAMPLES sets of n draws with replacement."""
    places = (noise.uniform(name, (RESAMPLES, n), torch.empty(0, dtype=torch.float64)) * n).long().clamp(max=n - 1)
    counts = torch.zeros(RESAMPLES, n, dtype=torch.float64)
    return counts.scatter_add_(1, places, torch.ones_like(places, dtype=torch.float64))
