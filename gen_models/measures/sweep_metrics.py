"""The metrics that a sweep compares, by capability; lower is better.

    nats   -mean log p(x), or of its bound at beta = 1 with all constants     Density or Bound
    mse    mean squared reconstruction error, on the unit scale               Reconstructor
    mmd    unbiased MMD^2 between draws and rows; may be negative             Sampler

None of them depends on what a sweep varies: the bandwidth comes from data, the noise is fixed, constants are kept.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Density, capabilities
from gen_models.errors import ConfigError, unknown
from gen_models.evaluating import by_rows, draw, elbo, evaluating, whole
from gen_models.measures.samples import bandwidths_around, median_bandwidth, mmd2
from gen_models.measures.units import unit_scale
from gen_models.noise import Noise

NOISE = Noise(seed=0)  # the same for all trials of a sweep
MMD_ROWS = 500  # two sets of 500 rows cost milliseconds; the spread of MMD^2 falls as 1/rows


def validation(
    model: nn.Module,
    x: Float[Tensor, "batch *event"],
    metrics: Iterable[str] | None = None,
    *,
    noise: Noise = NOISE,
    levels: int | None = None,
    statistics: Mapping[str, Any] | None = None,
    bandwidth: float | None = None,
) -> dict[str, float]:
    """Return {metric: value} on rows x as stored; without `metrics`, all that the model offers.

    levels, statistics  from the data's manifest; they define the unit scale
    bandwidth           of the training rows on the unit scale; None takes that of x, which does not depend on the model
                        either

    Raises ConfigError for a metric that does not exist, or that the model cannot offer.
    """
    names = offered(model) if metrics is None else tuple(metrics)
    for name in names:
        _require(name, model)
    ruler = Ruler(whole(noise), levels, statistics, bandwidth)
    with evaluating(model):
        return {name: METRICS[name].measure(model, x, ruler) for name in names}


def offered(model: object) -> tuple[str, ...]:
    """Return the metrics that a model's capabilities allow."""
    has = set(capabilities(model))
    return tuple(name for name, metric in METRICS.items() if has.intersection(metric.needs))


@dataclass(frozen=True)
class Ruler:
    """Everything that a metric needs besides the model and the rows."""

    noise: Noise
    levels: int | None
    statistics: Mapping[str, Any] | None
    bandwidth: float | None

    def units(self, x: Tensor) -> Tensor:
        """Return x on the unit scale."""
        return unit_scale(x, levels=self.levels, statistics=self.statistics)


class Metric(NamedTuple):
    """needs: capabilities, any one of which is enough; measure: a function (model, x, ruler) -> value."""

    needs: tuple[str, ...]
    measure: Callable[[Any, Tensor, Ruler], float]


def nats(model, x: Tensor, ruler: Ruler) -> float:
    """Return -mean log p(x) in nats; for a model with only a bound, the negative mean of the bound."""
    if isinstance(model, Density):
        return -by_rows(model.log_prob, x).mean().item()
    return -elbo(model, x, ruler.noise).mean().item()


def mse(model, x: Tensor, ruler: Ruler) -> float:
    """Return the mean of (x - reconstruction)^2 over rows and dimensions, on the unit scale."""
    return by_rows(lambda rows: (ruler.units(model.reconstruct(rows)) - ruler.units(rows)).square(), x).mean().item()


def mmd(model, x: Tensor, ruler: Ruler) -> float:
    """Return MMD^2 between at most MMD_ROWS rows and as many draws, on the unit scale."""
    rows = x[ruler.noise.permutation("mmd rows", len(x))[:MMD_ROWS].to(x.device)]
    draws = draw(model, len(rows), ruler.noise).to(rows)
    width = ruler.bandwidth or median_bandwidth(ruler.units(x))
    return mmd2(ruler.units(draws), ruler.units(rows), bandwidths_around(width)).item()


METRICS: dict[str, Metric] = {
    "nats": Metric(("density", "bound"), nats),
    "mse": Metric(("reconstructor",), mse),
    "mmd": Metric(("sampler",), mmd),
}


def _require(name: str, model: object) -> None:
    if name not in METRICS:
        raise ConfigError(unknown("metric", name, METRICS))
    if name not in offered(model):
        raise ConfigError(
            f"metric {name!r} needs a {' or '.join(METRICS[name].needs)}, which {type(model).__name__} is not: "
            f"choose from {', '.join(offered(model)) or '(none)'}"
        )
