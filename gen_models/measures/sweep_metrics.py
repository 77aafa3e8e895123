"""The metrics that a sweep compares, by capability; lower is better.

    nats                -mean log p(x); without a density, -mean ELBO(x) with all constants    Density or Bound
    nats_iw50           -mean of the importance-weighted bound with 50 samples                 Bound
    mse                 mean squared reconstruction error, on the unit scale                   Reconstructor
    mmd                 unbiased MMD^2 between draws and rows; may be negative                 Sampler
    entanglement        1 - the mutual information gap of latents and known factors            Encoder
    distortion_at_rate  the distortion of `sweep.front`, plus 1 for each nat of rate above     a rate and a distortion
                        `rate_at_most`: which setting reconstructs best at a stated rate       among its losses' terms

The last column names the capabilities (gen_models/contracts.py) that a model needs. So that a sweep can compare its
trials, no metric depends on settings of the training that it varies, such as the weight beta or the number of
importance samples: bandwidths come from data, the noise is fixed, constants are kept.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Density, capabilities, objectives_of
from gen_models.errors import ConfigError, unknown
from gen_models.evaluating import as_sampled, by_rows, draw, elbo, evaluating, log_prob, whole
from gen_models.layers.levels import Levels
from gen_models.measures.disentanglement import mutual_information_gap
from gen_models.measures.samples import bandwidths, mmd2
from gen_models.measures.units import unit_scale
from gen_models.names import METRICS as NAMES
from gen_models.noise import Noise

NOISE = Noise(seed=0)  # the same for all trials of a sweep
MMD_ROWS = 500  # two sets of 500 rows cost milliseconds; the spread of MMD^2 falls as 1/rows
IMPORTANCE_SAMPLES = 50


@dataclass(frozen=True)
class Ruler:
    """Facts about the data, and random numbers, that the metrics need besides the model and the rows.

    levels, statistics  from the data's manifest; they define the unit scale
    noise               random numbers of the metrics
    bandwidths          of mmd's kernels, from training rows on the unit scale; None: from the rows that are measured,
                        which do not depend on the model either
    factors             the known factors from which the rows were made, (rows, factors), or None
    front               {"rate": a loss term such as "vae.rate_nats", "distortion": another, "rate_at_most": nats}, or
                        None
    """

    noise: Noise = NOISE
    levels: Levels = None
    statistics: Mapping[str, Any] | None = None
    bandwidths: Sequence[float] | None = None
    factors: np.ndarray | None = None
    front: Mapping[str, Any] | None = None

    def units(self, x: Tensor) -> Tensor:
        """Return x on the unit scale."""
        return unit_scale(x, levels=self.levels, statistics=self.statistics)


def validation(
    model: nn.Module,
    x: Float[Tensor, "batch *event"],
    metrics: Iterable[str] | None = None,
    ruler: Ruler | None = None,
) -> dict[str, float]:
    """Return {metric: its value on the rows x}, with x in the data's units.

    metrics  names of metrics; None: all that `offered` returns
    ruler    what some metrics need besides model and rows, such as the bandwidths of a kernel or the true factors

    Raises ConfigError for a metric that does not exist, that the model cannot offer, or that needs what `ruler` lacks.
    """
    names = offered(model) if metrics is None else tuple(metrics)
    for name in names:
        _require(name, model)
    ruler = ruler or Ruler()
    ruler = replace(ruler, noise=whole(ruler.noise))
    with evaluating(model):
        return {name: METRICS[name].measure(model, x, ruler) for name in names}


def offered(model: object) -> tuple[str, ...]:
    """Return the names of the metrics that a model's capabilities allow on any data."""
    return tuple(name for name in METRICS if _allows(model, name) and METRICS[name].is_of_any_data)


class Metric(NamedTuple):
    """A metric of models.

    needs           names of capabilities, any one of which is enough
    measure         a function (model, x, ruler) -> value
    is_of_any_data  false if the metric needs known factors, or a front that the conf states
    """

    needs: tuple[str, ...]
    measure: Callable[[Any, Tensor, Ruler], float]
    is_of_any_data: bool = True


def nats(model, x: Tensor, ruler: Ruler) -> float:
    """Return -mean log p(x) in nats; for a model without a density, the negative mean of its bound."""
    if isinstance(model, Density):
        return -log_prob(model, x, ruler.noise).mean().item()
    return -elbo(model, x, ruler.noise).mean().item()


def nats_iw50(model, x: Tensor, ruler: Ruler) -> float:
    """Return the negative mean of the importance-weighted bound with 50 samples; training may use another number."""
    return -elbo(model, x, ruler.noise, samples=IMPORTANCE_SAMPLES, draws=1).mean().item()


def mse(model, x: Tensor, ruler: Ruler) -> float:
    """Return the mean of (x - reconstruction)^2 over rows and dimensions, on the unit scale."""
    return by_rows(lambda rows: (ruler.units(model.reconstruct(rows)) - ruler.units(rows)).square(), x).mean().item()


def mmd(model, x: Tensor, ruler: Ruler) -> float:
    """Return MMD^2 between at most MMD_ROWS rows and as many draws, on the unit scale.

    Rows and draws are compared in the space of the draws: with a model of binary pixels, the rows are binarised.
    """
    rows = x[ruler.noise.permutation("mmd rows", len(x))[:MMD_ROWS].to(x.device)]
    rows = as_sampled(model, rows, ruler.noise)
    draws = draw(model, len(rows), ruler.noise).to(rows)
    widths = ruler.bandwidths or bandwidths(ruler.units(rows))
    return mmd2(ruler.units(draws), ruler.units(rows), widths).item()


def entanglement(model, x: Tensor, ruler: Ruler) -> float:
    """Return 1 - the mutual information gap (disentanglement.py), in [0, 1]: 0 if each factor sits in one latent."""
    if ruler.factors is None:
        raise ConfigError(
            "metric: entanglement needs data whose factors are known, such as the data set factors; for other data "
            "write metric_without_factors: distortion_at_rate in the model's conf"
        )
    return 1 - mutual_information_gap(by_rows(model.encode, x).cpu().numpy(), ruler.factors[: len(x)])


def distortion_at_rate(model, x: Tensor, ruler: Ruler) -> float:
    """Return the distortion, plus 1 for each nat by which the rate exceeds the front's `rate_at_most`."""
    if ruler.front is None or ruler.front.get("rate_at_most") is None:
        raise ConfigError(
            "metric: distortion_at_rate needs the point on the front: write under sweep "
            "front: {rate: vae.rate_nats, distortion: vae.distortion_mse, rate_at_most: 20}"
        )
    terms = terms_of(model, x, ruler.noise)
    for axis in ("rate", "distortion"):
        if ruler.front[axis] not in terms:
            raise ConfigError(f"sweep.front.{axis}: " + unknown("term", ruler.front[axis], terms))
    excess = max(0.0, terms[ruler.front["rate"]] - ruler.front["rate_at_most"])
    return terms[ruler.front["distortion"]] + excess


def terms_of(model: object, x: Float[Tensor, "batch *event"], noise: Noise) -> dict[str, float]:
    """Return {"vae.rate_nats": ..., "vae.distortion_mse": ...}: the terms of each objective's loss on the rows x."""
    return {
        f"{objective.name}.{name}": term.item()
        for objective in objectives_of(model)
        for name, term in objective.loss(x, noise).terms.items()
    }


METRICS: dict[str, Metric] = {
    "nats": Metric(("density", "bound"), nats),
    "nats_iw50": Metric(("bound",), nats_iw50),
    "mse": Metric(("reconstructor",), mse),
    "mmd": Metric(("sampler",), mmd),
    "entanglement": Metric(("encoder",), entanglement, is_of_any_data=False),
    "distortion_at_rate": Metric(("bound", "reconstructor"), distortion_at_rate, is_of_any_data=False),
}
assert tuple(METRICS) == NAMES


def _allows(model: object, name: str) -> bool:
    return not set(capabilities(model)).isdisjoint(METRICS[name].needs)


def _require(name: str, model: object) -> None:
    if name not in METRICS:
        raise ConfigError(unknown("metric", name, METRICS))
    if not _allows(model, name):
        raise ConfigError(
            f"metric {name!r} needs a {' or '.join(METRICS[name].needs)}, which {type(model).__name__} is not: "
            f"choose from {', '.join(offered(model)) or '(none)'}"
        )
