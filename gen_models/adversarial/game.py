"""The game of a generator and a critic, shared by every adversarial model.

    theta descends its loss of T(G(z)),  phi descends its loss of T(y) and T(G(z)),   z ~ N(0, I_k)

A game consists of two networks and the losses of both players, which are functions of the critic's outputs. A named
model is a constructor that passes these pieces to `Game`. The critic is the chapter's discriminator (Goodfellow et
al., 2014); where it is a classifier, its output is a logit. Each player draws its own fakes, so in alternating play
the generator answers the critic's step with fresh ones.

A player's step leaves the other player bit-identical, including its running statistics and power iterations. Real and
fake rows go through the critic as separate batches: in a mixed batch, batch norm would let the critic tell them apart.
Sampling runs in evaluation mode, so a draw does not depend on its neighbours.
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
    """The losses of both players: means over rows of functions of the critic's outputs."""

    @property
    def sign(self) -> int:
        """Return 1 if a larger output means more real, else -1."""

    def critic(self, real: Float[Tensor, " reals"], fake: Float[Tensor, " fakes"]) -> Loss: ...

    def generator(self, fake: Float[Tensor, " fakes"]) -> Loss: ...


Penalty = Callable[[nn.Module, Tensor, Tensor, Noise], Loss]


class Game(Rebuildable, nn.Module):
    """A sampler and a critic, built from two networks and the losses of both players.

    generator   (batch, latent) -> (batch, *y_shape)
    critic      (batch, *y_shape) -> (batch,)
    y_shape     the shape of a row as the networks see it: event_shape, or [D] where they take vectors
    penalty     a function of (critic, y, fakes, noise), added to the critic's loss
    constrain   called after each step of the critic
    n_dis       ascent steps of the critic, each on a fresh batch, for each step of the generator
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
        """Return the critic's loss, with its penalty if it has one, on the rows x and as many fakes drawn by `noise`.

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
        """Return the generator's loss on its own fakes, as many as x has rows."""
        fakes = self.generator(noise.normal("generator.z", (len(x), self.latent), like=self.data_scale.scale))
        with still(self.critic):
            return self.losses.generator(self.critic(fakes))

    @question
    def criticise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """Return the critic's output, with its sign chosen so that larger means more real."""
        y = self.data_scale.centre(x).reshape(len(x), *self.y_shape)
        return self.losses.sign * self.critic(y)

    @question
    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw z ~ N(0, I) and return G(z), in the data's units."""
        y = self.generator(noise.normal("prior", (n, self.latent), like=self.data_scale.scale))
        return self.data_scale.quantise(y.reshape(n, *self.data_scale.event_shape))
