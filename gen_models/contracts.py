"""The contracts between models and pipelines: objectives and capabilities.

Objectives define how a model is trained. Capabilities define what it can be used for, and a model declares only those
that it can honestly offer. A capability is a set of methods: code asks `isinstance(model, Density)`, which is true if
the model has them, and never asks for a model's name.

In shapes, `batch` is the number of rows and `event` stands for the axes of one row. All x are *in the data's units*: as
data preparation wrote them, unscaled; grey levels are whole numbers. Models scale and dequantise inside, so that their
likelihoods can be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
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

    Most models have one player. A GAN is a game of two: a generator against a critic.

    module      owns exactly the parameters that this objective moves
    loss        (x, noise) -> Loss, a mean over the batch
    every       the player moves at each `every`-th minibatch only. For the generator of a GAN this is n_dis, the number
                of minibatches at which the critic moves for each move of the generator
    after_step  called after the parameters moved, for example to project or clip them, or to update their average
    """

    name: str
    module: nn.Module
    loss: Callable[[Tensor, Noise], Loss]
    every: int = 1
    after_step: Callable[[], None] = nothing


@runtime_checkable
class Model(Protocol):
    """Anything that can be trained: `objectives` returns its objectives in the order in which they move."""

    def objectives(self) -> tuple[Objective, ...]: ...


@runtime_checkable
class WarmStart(Protocol):
    """A model with a data-dependent start, which is called once before the first step.

    Examples: EM, ActNorm, k-means of codes, standardisation.
    """

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None: ...


@runtime_checkable
class Density(Protocol):
    """A model whose `log_prob` returns log p(x) in nats, for x in the data's units.

    For discrete data, dequantised by uniform noise u, it returns the bound E_u log p(x + u) <= log P(x). Without
    `noise`, the draws of u are fixed and shared by all rows: the result depends on the row alone, so rows can be
    compared. With `noise`, it returns log p(x + u) with one draw of u for each row; errors then average out in a mean
    over rows (`evaluating.log_prob`).
    """

    def log_prob(self, x: Float[Tensor, "batch *event"], noise: Noise | None = None) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Bound(Protocol):
    """A model whose `elbo` returns a lower bound on log p(x) in nats, in expectation over the noise.

    samples = 1 gives the ELBO. samples = K gives the importance-weighted bound log (1/K) sum_k w_k, with weights
    w_k = p(x, z_k)/q(z_k|x) of K draws z_k from the encoder's q(z|x) (Burda et al., 2016). It does not fall as K grows.
    """

    def elbo(self, x: Float[Tensor, "batch *event"], noise: Noise, samples: int = 1) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Encoder(Protocol):
    """A model whose `encode` returns a deterministic latent vector for each row."""

    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]: ...


@runtime_checkable
class Decoder(Protocol):
    """A model whose `decode` turns latent vectors into rows in the data's units."""

    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class Reconstructor(Protocol):
    """A model whose `reconstruct` passes x through a bottleneck and back.

    A bijection is not a Reconstructor: it returns every x unchanged.
    """

    def reconstruct(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class Sampler(Protocol):
    """A model whose `sample` draws n rows, in the data's units.

    Numbers that are discrete in the data are discrete in the drawn rows too.
    """

    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class TemperedSampler(Sampler, Protocol):
    """A sampler that can draw at a temperature T > 0, which multiplies the normal draws from which latents are made.

    T < 1 therefore draws nearer the middle. sample_at(n, noise, 1) equals sample(n, noise), bit for bit (Kingma and
    Dhariwal, 2018, section 6.3).
    """

    def sample_at(self, n: int, noise: Noise, temperature: float) -> Float[Tensor, "batch *event"]: ...


@runtime_checkable
class Critic(Protocol):
    """A model whose `criticise` returns a number for each row; larger means more like the training data."""

    def criticise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Clusterer(Protocol):
    """A model that has clusters of its own: `cluster` returns the index of each row's cluster, 0 .. K - 1.

    It is -1 for a row so far from all clusters that none can be told.
    """

    def cluster(self, x: Float[Tensor, "batch *event"]) -> Int[Tensor, " batch"]: ...


CAPABILITIES: dict[str, type] = {
    "density": Density,
    "bound": Bound,
    "encoder": Encoder,
    "decoder": Decoder,
    "reconstructor": Reconstructor,
    "sampler": Sampler,
    "temperature": TemperedSampler,
    "critic": Critic,
    "clusterer": Clusterer,
}


def capabilities(model: object) -> tuple[str, ...]:
    """Return the names of the capabilities that a model offers, in the order of CAPABILITIES."""
    return tuple(name for name, contract in CAPABILITIES.items() if isinstance(model, contract))


def objectives_of(model: object) -> tuple[Objective, ...]:
    """Return the objectives of a model, in the order in which they move; raises ConfigError if it cannot be trained."""
    if not isinstance(model, Model):
        raise ConfigError(f"{type(model).__name__} has no objectives(): a model lists what it descends")
    return model.objectives()
