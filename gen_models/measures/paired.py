"""The difference between two models' metrics on the same rows, with a confidence interval.

Rows differ far more from one another than two models do on one row. The difference on a row has none of that spread, so
the interval of the mean difference is much narrower than the intervals of the two means would suggest.

    metrics of single rows   mean_i d_i +- t s / sqrt(n), where d_i = a_i - b_i is the difference on row i of n, s the
                             standard deviation of d_i, and t the 97.5% quantile of Student's distribution
    MMD^2                    quantiles over 2,000 resamples, with replacement, of the rows and of the models' draws (the
                             bootstrap, Efron, 1979); pairs of a draw with a copy of itself are left out
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
    """A difference a - b of two models' metrics; metrics are better if lower, so below 0 the model a is better.

    value      the difference
    low, high  the ends of its interval
    rows       how many rows it was measured on
    """

    value: float
    low: float
    high: float
    rows: int


def row_values(metric: str, model: Any, x: Float[Tensor, "batch *event"], ruler: Ruler) -> Float[Tensor, " batch"]:
    """Return a metric of each row x, in float64; the mean over rows is the metric of this name in sweep_metrics.py.

    metric  a key of PER_ROW
    ruler   what the metric needs besides model and rows
    """
    with evaluating(model):
        return PER_ROW[metric](model, x, ruler).double()


def paired(a: Float[Tensor, " rows"], b: Float[Tensor, " rows"], confidence: float = CONFIDENCE) -> Difference:
    """Return the mean of a - b over rows with Student's interval, which is infinite for fewer than two rows."""
    from scipy.stats import t  # takes a second

    d = (a - b).double().cpu().numpy()
    spread = float(d.std(ddof=1)) / len(d) ** 0.5 if len(d) > 1 else np.inf
    half = float(t.ppf((1 + confidence) / 2, len(d) - 1)) * spread if len(d) > 1 else np.inf
    return Difference(float(d.mean()), float(d.mean()) - half, float(d.mean()) + half, len(d))


def paired_mmd(
    a: Any, b: Any, x: Float[Tensor, "batch *event"], ruler: Ruler, confidence: float = CONFIDENCE
) -> Difference | None:
    """Return the difference between MMD^2 of sampler a and of sampler b, each against the rows x.

    It is None if the two draw in different spaces, such as grey levels and binary pixels.
    """
    picked = x[ruler.noise.permutation("mmd rows", len(x))[:MMD_ROWS]]
    rows = as_sampled(a, picked, ruler.noise)
    if not torch.equal(rows, as_sampled(b, picked, ruler.noise)):
        return None
    widths = ruler.bandwidths or bandwidths(ruler.units(rows))
    grams = []
    for model in (a, b):
        with evaluating(model):
            draws = draw(model, len(rows), ruler.noise).to(rows)
        units = [ruler.units(part).flatten(1).double().cpu() for part in (draws, rows)]
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
    """Return MMD^2 for each resample, without the term of pairs of rows, which is the same for both models.

    grams        the kernel values of draws with draws, and of draws with rows
    draws, rows  (sets, n): how often each draw, and each row, is in each resample
    """
    within, across = grams
    same = draws.square() @ within.diagonal()  # a draw that is in a resample twice makes no pair with itself
    pairs = draws.sum(dim=1).square() - draws.square().sum(dim=1)
    of_pairs = ((draws @ within) * draws).sum(dim=1) - same
    crossed = ((draws @ across) * rows).sum(dim=1) / (draws.sum(dim=1) * rows.sum(dim=1))
    return of_pairs / pairs - 2 * crossed


def _counts(n: int, noise: Noise, name: str) -> Float[Tensor, "sets n"]:
    """Return how often each of n things is in each of RESAMPLES resamples, of n things with replacement."""
    places = (noise.uniform(name, (RESAMPLES, n), torch.empty(0, dtype=torch.float64)) * n).long().clamp(max=n - 1)
    counts = torch.zeros(RESAMPLES, n, dtype=torch.float64)
    return counts.scatter_add_(1, places, torch.ones_like(places, dtype=torch.float64))
