"""The game of two players, shared by every GAN: a generator G against a critic T.

    G descends a loss of T(G(z)),   T descends a loss of T(y) and T(G(z)),   z ~ N(0, I)

y is a real row in network units, G(z) a fake row. A game consists of the two networks and both losses, which are
functions of the critic's outputs. Each GAN is a constructor that passes these pieces to `Game`. The critic is also
called discriminator (Goodfellow et al., 2014); where it is a classifier of real and fake rows, its output is a logit.
Each loss draws its own fakes, so in alternating play the generator answers the critic's step with fresh fakes.

A step of one player leaves the other player bit-identical, including running statistics of batch norm and the vectors
of spectral norm. Real and fake rows go through the critic as separate batches: in a mixed batch, batch norm would let
the critic tell them apart. Sampling runs in evaluation mode, so a sample does not depend on others of its batch.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Loss, Objective, nothing
from gen_models.evaluating import question
from gen_models.layers.arguments import require_whole
from gen_models.layers.levels import Levels
from gen_models.layers.still import still
from gen_models.layers.table_scale import scale_of
from gen_models.noise import Noise
from gen_models.rebuildable import Rebuildable


@runtime_checkable
class Losses(Protocol):
    """The losses of critic and generator: means over rows of functions of the critic's outputs."""

    @property
    def sign(self) -> int:
        """Return 1 if a larger output means more real, else -1."""

    def critic(self, real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> Loss: ...

    def generator(self, fake: Float[Tensor, " fakes"]) -> Loss: ...


Penalty = Callable[[nn.Module, Tensor, Tensor, Noise], Loss]


class Game(Rebuildable, nn.Module):
    """A GAN, built from two networks and their losses. It offers what a Sampler and a Critic offer.

    latent      how many numbers z has
    generator   network (batch, latent) -> (batch, *y_shape)
    critic      network (batch, *y_shape) -> (batch,)
    losses      the losses of critic and generator
    y_shape     the shape of a row in the networks: event_shape, or [D] if the networks take vectors of D numbers
    n_dis       steps of the critic, each on a fresh batch, for each step of the generator
    penalty     a function of (critic, y, fakes, noise) whose value is added to the critic's loss; None: no penalty
    constrain   a function without arguments, called after each step of the critic; it may project the weights
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        latent: int,
        generator: nn.Module,
        critic: nn.Module,
        losses: Losses,
        y_shape: Sequence[int],
        n_dis: int = 1,
        penalty: Penalty | None = None,
        constrain: Callable[[], None] = nothing,
    ):
        super().__init__()
        require_whole("n_dis", n_dis)
        self.data_scale = scale_of(event_shape, levels)
        self.critic = critic
        self.generator = generator
        self.losses = losses
        self.latent = latent
        self.n_dis = n_dis
        self.y_shape = tuple(y_shape)
        self.penalty = penalty
        self.constrain = constrain

    def objectives(self) -> tuple[Objective, ...]:
        """Return the critic's objective, then the generator's.

        The critic comes first because in alternating play the generator answers the critic's step.
        """
        return (
            Objective("critic", self.critic, self.critic_loss, after_step=self.constrain),
            Objective("generator", self.generator, self.generator_loss, every=self.n_dis),
        )

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Set the standardisation of continuous data from the rows x."""
        self.data_scale.fit(x)

    def critic_loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return the critic's loss plus the penalty, if there is one, on the rows x and on as many new fakes.

        No gradient reaches the generator.
        """
        y = self.data_scale(x, noise).reshape(len(x), *self.y_shape)
        with torch.no_grad(), still(self.generator):  # the critic's step needs no gradient of G
            fakes = self.generator(noise.normal("critic.z", (len(y), self.latent), like=y))
        loss = self.losses.critic(self.critic(y), self.critic(fakes))
        if self.penalty is None:
            return loss
        extra = self.penalty(self.critic, y, fakes, noise)
        return Loss(loss.value + extra.value, {**loss.terms, **extra.terms})

    def generator_loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return the generator's loss on new fakes, as many as x has rows; their values do not depend on x."""
        fakes = self.generator(noise.normal("generator.z", (len(x), self.latent), like=self.data_scale.scale))
        with still(self.critic):
            return self.losses.generator(self.critic(fakes))

    @question
    def criticise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """Return the critic's output for each row x, with its sign chosen so that larger means more real."""
        y = self.data_scale.centre(x).reshape(len(x), *self.y_shape)
        return self.losses.sign * self.critic(y)

    @question
    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw n times z ~ N(0, I) and return the rows G(z), in the data's units."""
        y = self.generator(noise.normal("prior", (n, self.latent), like=self.data_scale.scale))
        return self.data_scale.drawn(y.reshape(n, *self.data_scale.event_shape))
