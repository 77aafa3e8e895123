"""FFJORD (Grathwohl et al., 2019): a continuous flow trained by maximum likelihood.

log p(x) = log p_Z(z(1)) + int_0^1 tr(dh/dz) dt, with the trace estimated by one probe for each row and solve. The
training loss is then an unbiased estimate of the negative log-likelihood; scores take the exact trace.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from gen_models.bijections.ode import ContinuousBijection, Solver
from gen_models.contracts import Loss
from gen_models.flows.continuous import ContinuousFlow
from gen_models.layers.data_scale import dimensions
from gen_models.layers.vector_field import VectorField
from gen_models.noise import Noise


class FFJORD(ContinuousFlow):
    """hidden, activation: of the field. solver, steps, rtol, atol, adjoint, trace, probe: of training.

    solver       rk4, midpoint, euler on `steps` equal steps; dopri5, bosh3, adaptive_heun to rtol and atol. On a
                 fixed grid two workers take the steps of one; an adaptive solver's agree to its tolerance.
    score_steps  of the fourth-order steps of scores and samples, whatever training used
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        *,
        hidden: Sequence[int],
        activation: str = "tanh",
        solver: str = "rk4",
        steps: int = 10,
        rtol: float = 1e-5,
        atol: float = 1e-5,
        trace: str = "hutchinson",
        probe: str = "rademacher",
        adjoint: bool = False,
        score_steps: int = 20,
    ):
        ode = ContinuousBijection(
            VectorField(dimensions(event_shape), hidden, activation=activation),
            solver=Solver(solver, steps=steps, rtol=rtol, atol=atol, adjoint=adjoint),
            trace=trace,
            probe=probe,
            score_steps=score_steps,
        )
        super().__init__(event_shape, levels, ode)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """-1/B sum_i log p(x_i + u_i), the trace as training takes it; and how often the field was evaluated.

        nats                  the loss: unbiased, of the density only where the trace is exact
        evaluations_forward   of h in this solve
        evaluations_backward  in its gradient; known once the backward pass has run
        """
        y, log_det_before = self.before(self.data_scale(x, noise))
        solution = self.ode.transform(y, noise)
        log_p = self.base.log_density(solution.z) + solution.log_det + log_det_before
        nats = -(log_p.mean() + self.data_scale.log_det())
        terms = {
            "nats": nats,
            "evaluations_forward": solution.evaluations_forward,
            "evaluations_backward": solution.evaluations_backward,
        }
        return Loss(nats, terms)
