"""The contracts between models and pipelines: objectives and capabilities.

Objectives define how a model is trained. Capabilities define what it can be used for, and a model declares only those
that it can honestly offer. Capabilities are structural: a stage asks `isinstance(model, Density)`, never for a name.

Shapes: `batch` rows of `event` dimensions. All x are *in the data's units*: as data preparation wrote them, unscaled;
grey levels are whole numbers. Models scale and dequantise inside, so that their likelihoods can be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.noise import Noise


class Loss(NamedTuple):
    """A scalar to minimise, and named scalars to report.

    `value` may be a surrogate whose gradient is right but whose value means nothing. Reports, sweeps and schedules
    therefore use the `terms`.
    """

    value: Float[Tensor, ""]
    terms: dict[str, Tensor]


def nothing() -> None:
    """Do nothing: the default of `Objective.after_step`."""


@dataclass(frozen=True)
class Objective:
    """One player: the parameters that it moves, and the loss that it descends.

    module      owns exactly the parameters that this objective moves
    loss        (x, noise) -> Loss, a mean over the batch
    every       the player moves at each `every`-th minibatch only: n_dis for the generator of a game
    after_step  called after the parameters moved: projection, clipping, an averaged copy
    """

    name: str
    module: nn.Module
    loss: Callable[[Tensor, Noise], Loss]
    every: int = 1
    after_step: Callable[[], None] = nothing


@runtime_checkable
class Model(Protocol):
    """Anything that can be trained: `objectives` lists its objectives in the order of play."""

    def objectives(self) -> tuple[Objective, ...]: ...


@runtime_checkable
class WarmStart(Protocol):
    """A model with a data-dependent start, run once before step 1: EM, ActNorm, k-means of codes, standardisation."""

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None: ...


@runtime_checkable
class Density(Protocol):
    """A model whose `log_prob` returns log p(x) in nats, for x in the data's units.

    For discrete data this is the dequantisation bound E_u log p(x + u) <= log P(x). Without noise its draws
    of u are fixed and all rows share them, so it is a function of the row and rows can be compared. With noise it is
    log p(x + u) with one draw for each row, for means over rows (`evaluating.log_prob`).
    """

    def log_prob(self, x: Float[Tensor, "batch *event"], noise: Noise | None = None) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Bound(Protocol):
    """A model whose `elbo` returns a lower bound on log p(x) in nats, in expectation over the noise.

    samples = 1 gives the ELBO. samples = K gives the importance-weighted bound log (1/K) sum_k w_k (Burda et al.,
    2016), which does not fall as K grows.
    """

    def elbo(self, x: Float[Tensor, "batch *event"], noise: Noise, samples: int = 1) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Encoder(Protocol):
    """A model whose `encode` returns a deterministic latent vector for each row."""

    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]: ...


@runtime_checkable
class Decoder(Protocol):
    """A model whose `decode` turns latent vectors into rows, unscaled, as the data are stored."""

    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class Reconstructor(Protocol):
    """A model whose `reconstruct` passes x through a bottleneck and back.

    A bijection is not a Reconstructor: it returns every x unchanged.
    """

    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class Sampler(Protocol):
    """A model whose `sample` draws n rows, in the data's units: what is discrete in the data is so in them."""

    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class TemperedSampler(Sampler, Protocol):
    """A sampler that can draw at a temperature T > 0: latents are T times as far from the middle, with the same noise.

    sample_at(n, noise, 1) equals sample(n, noise), bit for bit (Kingma and Dhariwal, 2018, section 6.3).
    """

    def sample_at(self, n: int, noise: Noise, temperature: float) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class Critic(Protocol):
    """A model whose `criticise` returns a number for each row; larger means more like the training data."""

    def criticise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]: ...


CAPABILITIES: dict[str, type] = {
    "density": Density,
    "bound": Bound,
    "encoder": Encoder,
    "decoder": Decoder,
    "reconstructor": Reconstructor,
    "sampler": Sampler,
    "temperature": TemperedSampler,
    "critic": Critic,
}


def capabilities(model: object) -> tuple[str, ...]:
    """Return the names of the capabilities that a model offers, in the order of CAPABILITIES."""
    return tuple(name for name, contract in CAPABILITIES.items() if isinstance(model, contract))


def objectives_of(model: object) -> tuple[Objective, ...]:
    """Return the objectives of a model, in the order of play; raises ConfigError if it cannot be trained."""
    if not isinstance(model, Model):
        raise ConfigError(f"{type(model).__name__} has no objectives(): a model lists what it descends")
    return model.objectives()
