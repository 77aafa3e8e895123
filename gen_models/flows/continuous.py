"""The base class of continuous flows: the flow of a field h in dz/dt = h(t, z), from data at t = 0 to noise at t = 1.

Subclasses differ in how they train the field.
"""

from collections.abc import Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor

from gen_models.bijections.bijection import Bijection, Compose, Flatten
from gen_models.bijections.logit import Logit
from gen_models.bijections.ode import ContinuousBijection
from gen_models.evaluating import question
from gen_models.flows.flow import Flow
from gen_models.layers.levels import Levels, grey_levels
from gen_models.noise import Noise


class ContinuousFlow(Flow):
    """A logit for data on grey levels, then the flow of the field, `ode`.

    Scores use the forward map of `ode` and samples its inverse, both on a fixed grid of times. Latents and samples need
    no log-determinant, and are computed without it.
    """

    def __init__(self, event_shape: Sequence[int], levels: Levels, ode: ContinuousBijection):
        before: list[Bijection] = [Flatten(event_shape), *([] if grey_levels(levels) is None else [Logit()])]
        super().__init__(event_shape, levels, Compose([Compose(before), ode]))

    @property
    def before(self) -> Bijection:
        """The map from rows in network units to the vectors (batch, D) that the field moves."""
        return cast(Compose, self.bijection).parts[0]

    @property
    def ode(self) -> ContinuousBijection:
        """Return the invertible map that integrates this model's vector field over time."""
        return cast(ContinuousBijection, cast(Compose, self.bijection).parts[1])

    def draw(self, n: int, noise: Noise, *, temperature: float = 1.0) -> Float[Tensor, "batch *event"]:
        return self._from_latent(self.base.from_normal(self.normal_draw(n, noise, temperature)))

    @question
    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        return self.ode.transport(self.before(self.data_scale.centre(x))[0])

    @question
    def decode(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *event"]:
        return self.data_scale.quantise(self._from_latent(z))

    def _from_latent(self, z: Tensor) -> Tensor:
        return self.before.inverse(self.ode.transport(z, is_inverse=True))[0]
