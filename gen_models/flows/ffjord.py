"""FFJORD (Grathwohl et al., 2019): a continuous flow trained by maximum likelihood.

log p(x) = log p_Z(z(1)) + int_0^1 tr(dh/dz) dt, where z moves from z(0) = x along dz/dt = h(t, z). In training the
trace is by default estimated with one random probe for each row and solve (see bijections/ode.py), which makes the loss
an unbiased estimate of the negative log-likelihood. Scores use the exact trace, whatever D is.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from gen_models.bijections.ode import ContinuousBijection, Solver
from gen_models.contracts import Loss
from gen_models.flows.continuous import ContinuousFlow
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels
from gen_models.layers.vector_field import VectorField
from gen_models.noise import Noise


class FFJORD(ContinuousFlow):
    """A continuous flow trained by maximum likelihood.

    hidden, activation      the widths of the field's hidden layers, and their activation
    solver                  of training: rk4, midpoint or euler on `steps` equal steps; dopri5, bosh3 or adaptive_heun
                            to rtol and atol. On a fixed grid two workers take the same steps as one; with an adaptive
                            solver they agree to its tolerance
    adjoint, trace, probe   of training, see Solver and ContinuousBijection in bijections/ode.py
    score_steps             number of fourth-order steps for scores and samples, whatever training used
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
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
        """Return -1/B sum_i log p(x_i + u_i) over the B rows, with u_i the dequantisation noise, and these terms.

        nats                  the loss. It is an unbiased estimate of -log p; it is exact where `trace` is exact
        evaluations_forward   how often this solve evaluated h
        evaluations_backward  how often the backward pass evaluated the gradient of h; known once that pass has run
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
