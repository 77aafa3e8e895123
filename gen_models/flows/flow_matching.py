"""Flow matching (Lipman et al., 2023; Liu, Gong and Liu, 2023): a continuous flow trained without a solver.

Along the straight path y_t = (1 - t) y + t z from a row y to a draw z ~ N(0, I) the velocity is z - y, and

    min_h  E_{t, y, z} |h(t, y_t) - (z - y)|^2,   t ~ U[0, 1],

has the minimiser h(t, w) = E[z - y | y_t = w], whose flow carries the data's density to N(0, I) (Lipman et al.,
theorems 1 and 2, with time reversed: data at t = 0, as in FFJORD, and their sigma_min = 0). A training step evaluates h
once, where maximum likelihood has to solve dz/dt = h(t, z). Density, latents and samples use the flow of h.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from gen_models.bijections.ode import ContinuousBijection, Solver
from gen_models.contracts import Loss, Objective
from gen_models.flows.continuous import ContinuousFlow
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels
from gen_models.layers.vector_field import VectorField
from gen_models.noise import Noise


class FlowMatching(ContinuousFlow):
    """A continuous flow trained by flow matching.

    hidden, activation  the widths of the field's hidden layers, and their activation
    score_steps         number of fourth-order steps for scores and samples
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        hidden: Sequence[int],
        activation: str = "silu",
        score_steps: int = 20,
    ):
        field = VectorField(dimensions(event_shape), hidden, activation=activation)
        ode = ContinuousBijection(field, solver=Solver(), score_steps=score_steps)
        super().__init__(event_shape, levels, ode)

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("flow_matching", self, self.loss),)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return 1/B sum_i |h(t_i, y_t) - (z_i - y_i)|^2 over the B rows, also as the term "squared_error".

        Each row has its own draws t_i and z_i. The minimum of the loss is not 0.
        """
        y = self.before(self.data_scale(x, noise))[0]
        z = noise.normal("flow_matching.z", y.shape, like=y)
        t = noise.uniform("flow_matching.t", (len(y), 1), like=y)
        error = self.ode.field(t, (1 - t) * y + t * z) - (z - y)
        value = error.square().sum(dim=1).mean()
        return Loss(value, {"squared_error": value})
