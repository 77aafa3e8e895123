"""The contracts: a model is a set of objectives plus the capabilities that it can honestly offer.

Objectives say how a model is trained. Capabilities say what it can be used for; they are structural:
a stage asks `isinstance(model, Density)` and never a name.

Shapes: `batch` rows of `event` dimensions. All x are *as stored*: what prepare wrote, unscaled; scaling
and dequantisation live inside the model, so that likelihoods of different models compare.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.noise import Noise


class Loss(NamedTuple):
    """A scalar to minimise, and scalars worth plotting.

    `value` may be a surrogate whose gradient is right and whose value means nothing; what is reported,
    swept and scheduled are the `terms`.
    """

    value: Float[Tensor, ""]
    terms: dict[str, Tensor]


def nothing() -> None:
    """The default of `Objective.after_step`."""


@dataclass(frozen=True)
class Objective:
    """One player: the parameters that it owns, and the loss that it descends.

    module      owns exactly the parameters that this objective moves
    loss        (x, noise) -> Loss, a mean over the batch
    every       moves at each `every`-th minibatch: n_dis for the generator of a game
    after_step  runs after the parameters moved: projection, clipping, an averaged copy
    """

    name: str
    module: nn.Module
    loss: Callable[[Tensor, Noise], Loss]
    every: int = 1
    after_step: Callable[[], None] = nothing


@runtime_checkable
class Model(Protocol):
    """Whatever can be trained: a module whose objectives are listed in the order of play."""

    def objectives(self) -> tuple[Objective, ...]: ...


@runtime_checkable
class WarmStart(Protocol):
    """A data-dependent start, run once before step 1: EM, ActNorm, k-means of a codebook, standardisation."""

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None: ...


@runtime_checkable
class Density(Protocol):
    """log p(x) in nats, of the data as stored.

    Of data on a grid of levels it is the dequantisation bound E_u log p(x + u) <= log P(x), with fixed
    draws of u that all rows share.
    """

    def log_prob(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Bound(Protocol):
    """A lower bound on log p(x) in nats, in expectation over the noise.

    samples = 1 is the ELBO; samples = K the importance-weighted bound log (1/K) sum_k w_k (Burda et al.,
    2016), which does not fall with K.
    """

    def elbo(self, x: Float[Tensor, "batch *event"], noise: Noise, samples: int = 1) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Encoder(Protocol):
    """A deterministic latent vector for each row."""

    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]: ...


@runtime_checkable
class Decoder(Protocol):
    """The datum, as stored, that a latent vector stands for."""

    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class Reconstructor(Protocol):
    """x through a bottleneck and back. A bijection is not one: it returns every x unchanged."""

    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class Sampler(Protocol):
    """Draws from the model, as stored: on the grid of levels if the data are."""

    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class TemperedSampler(Sampler, Protocol):
    """Draws at a temperature T > 0, whose latents are T times as far from the middle at the same noise.

    sample_at(n, noise, 1) is sample(n, noise), bit for bit (Kingma and Dhariwal, 2018, section 6.3).
    """

    def sample_at(self, n: int, noise: Noise, temperature: float) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class Critic(Protocol):
    """A number for each row; larger means more like the training data."""

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
    """The names of the capabilities that a model offers, in the order of CAPABILITIES."""
    return tuple(name for name, contract in CAPABILITIES.items() if isinstance(model, contract))


def objectives_of(model: object) -> tuple[Objective, ...]:
    """The objectives of a model, in the order of play; ConfigError for what cannot be trained."""
    if not isinstance(model, Model):
        raise ConfigError(f"{type(model).__name__} has no objectives(): a model lists what it descends")
    return model.objectives()
