"""The flow of an ordinary differential equation as a bijection (Chen et al., 2018; Grathwohl et al., 2019, FFJORD).

    dz/dt = h(t, z),   z(0) = x,   f(x) = z(1),   log |det df/dx| = int_0^1 tr(dh/dz) dt

for any field h that is smooth in z (FFJORD, equations 2-4). The trace is exact if the field has a formula for it, or if
it is computed as sum_d e_d' (dh/dz) e_d with the D unit vectors e_d, which takes D backward passes. With a random
vector v, called a probe, for which E v v' = I, the estimate v' (dh/dz) v is unbiased (equations 5-7; Hutchinson, 1990).

There are two kinds of solve, which never share state:

    forward, inverse   for the density and its sampler: `score_steps` equal Runge-Kutta steps of order 4 and the exact
                       trace. An adaptive solver chooses its steps by the error of the whole batch, so a row's value
                       would depend on the other rows. Fixed steps avoid this. Training mode changes nothing.
    transform          for training: any solver, any trace. Probes are drawn once for each solve and kept during it.
                       Redrawing them within a solve would make the right-hand side noisy, and no step size resolves
                       that. Keeping them from one solve to the next would bias the estimate.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from gen_models.bijections.bijection import Bijection
from gen_models.errors import DivergedError
from gen_models.layers.arguments import require_choice, require_positive, require_whole
from gen_models.noise import Noise

FIXED = ("rk4", "midpoint", "euler")
ADAPTIVE = ("dopri5", "bosh3", "adaptive_heun")
TRACES = ("hutchinson", "exact")
PROBES = ("rademacher", "gaussian")

MAX_EVALUATIONS = 10_000  # in one solve and direction; a trained flow needs about a hundred


class SolverError(DivergedError):
    """The solver cannot integrate the equation to its tolerance."""


@runtime_checkable
class Field(Protocol):
    """A field whose `with_divergence` returns h(t, z) and its divergence tr(dh/dz), one number for each row."""

    def with_divergence(self, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]: ...


class ByProbes(nn.Module):
    """A field that computes its divergence as sum_k v_k' (dh/dz) v_k, by vector-Jacobian products.

    vectors  the v_k, (probes, batch, D), which stay the same during a solve. With the D unit vectors the divergence is
             exact; with one random probe it is an unbiased estimate
    """

    def __init__(self, field: nn.Module, vectors: Tensor):
        super().__init__()
        self.field = field
        self.vectors = vectors

    def with_divergence(self, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return h(t, z) and sum_k v_k' (dh/dz) v_k."""
        has_graph = torch.is_grad_enabled()
        with torch.enable_grad():  # the trace is a derivative, so it needs gradients even where nothing is trained
            if not (has_graph and z.requires_grad):
                z = z.detach().requires_grad_()
            h = self.field(t, z)
            found = divergence(h, z, self.vectors, has_graph=has_graph)
        return (h, found) if has_graph else (h.detach(), found.detach())


class Solution(NamedTuple):
    """The result of a training solve: z = f(x), the log-determinant, and how often the field was evaluated.

    With the adjoint, evaluations_backward is counted while the backward pass runs, and is 0 before that. Without the
    adjoint it is the number of evaluations that autograd recorded.
    """

    z: Float[Tensor, "batch dim"]
    log_det: Float[Tensor, " batch"]
    evaluations_forward: Float[Tensor, ""]
    evaluations_backward: Float[Tensor, ""]


@dataclass(frozen=True)
class Solver:
    """The method and tolerance of a solve.

    method      one of FIXED, with `steps` equal steps, or of ADAPTIVE
    rtol, atol  tolerance on each adaptive step's error
    adjoint     true: gradients come from the adjoint equation, solved backwards in constant memory; they are as exact
                as the solver. false: from backpropagation through the steps, which is exact for the discrete map, and
                whose memory grows with the number of steps
    """

    method: str = "rk4"
    steps: int = 10
    rtol: float = 1e-5
    atol: float = 1e-5
    adjoint: bool = False

    def __post_init__(self) -> None:
        require_choice("solver", self.method, (*FIXED, *ADAPTIVE))
        require_whole("steps", self.steps)
        require_positive("rtol", self.rtol)
        require_positive("atol", self.atol)

    @property
    def is_adaptive(self) -> bool:
        """Whether the method chooses its own steps."""
        return self.method in ADAPTIVE

    def options(self) -> dict:
        """Return the method's options for torchdiffeq."""
        return {} if self.is_adaptive else {"grid_constructor": self._grid}

    def _grid(self, function, state: Tensor, t: Tensor) -> Tensor:
        """Return equal steps. With a step size instead, rounding would leave a very short last step."""
        return torch.lerp(t[0], t[-1], torch.linspace(0, 1, self.steps + 1, dtype=t.dtype, device=t.device))


class ContinuousBijection(Bijection):
    """The map f: z(0) -> z(1) of vectors (batch, D) along a field h: (t, z) -> (batch, D).

    solver       used in training
    trace        used in training: hutchinson, with one probe for each row, or exact
    probe        the distribution of the probe; Rademacher's estimate has the smaller variance of the two
    score_steps  number of Runge-Kutta steps in `forward` and `inverse`
    """

    def __init__(
        self,
        field: nn.Module,
        *,
        solver: Solver,
        trace: str = "hutchinson",
        probe: str = "rademacher",
        score_steps: int = 20,
    ):
        super().__init__()
        require_choice("trace", trace, TRACES)
        require_choice("probe", probe, PROBES)
        require_whole("score_steps", score_steps)
        self.field = field
        self.solver = solver
        self.trace = trace
        self.probe = probe
        self.scores = Solver("rk4", steps=score_steps)

    def forward(self, x):
        z, log_det, *_ = self._solve(x, exact(self.field, x), self.scores)
        return z, log_det

    def inverse(self, y):
        x, log_det, *_ = self._solve(y, exact(self.field, y), self.scores, start=1.0)
        return x, log_det

    def transport(self, z: Float[Tensor, "batch dim"], *, is_inverse: bool = False) -> Float[Tensor, "batch dim"]:
        """Return f(z), or f^-1(z) if is_inverse, with the solver of `forward` and `inverse`.

        No log-determinant is computed, which saves the cost of the trace.
        """
        return self._solve(z, None, self.scores, start=1.0 if is_inverse else 0.0).z

    def transform(self, x: Float[Tensor, "batch dim"], noise: Noise) -> Solution:
        """Return f(x) and its log-determinant, by the solver and the trace of training.

        With trace = "hutchinson" the log-determinant is an unbiased estimate. Raises SolverError if an adaptive solver
        needs more than MAX_EVALUATIONS evaluations of the field, or a step so small that the time does not change.
        """
        if self.trace == "exact":
            return self._solve(x, exact(self.field, x), self.solver)
        return self._solve(x, ByProbes(self.field, random_probe(x, noise, self.probe)), self.solver)

    def start(self, x):
        """Return f(x), without the trace. No parameter of a field is initialised from the rows x."""
        return self.transport(x)

    def _solve(self, x: Tensor, traced: Field | None, solver: Solver, *, start: float = 0.0) -> Solution:
        """Solve from t = start to t = 1 - start; with `traced`, the state's last column integrates the trace."""
        dynamics = _Dynamics(self.field, traced, solver, x)
        state = x if traced is None else torch.cat([x, x.new_zeros(len(x), 1)], dim=1)
        t = x.new_tensor([start, 1.0 - start])
        how = {"method": solver.method, "rtol": solver.rtol, "atol": solver.atol, "options": solver.options()}
        if solver.adjoint:
            state = odeint_adjoint(dynamics, state, t, adjoint_params=tuple(self.field.parameters()), **how)[-1]
        else:
            state = odeint(dynamics, state, t, **how)[-1]
        dynamics.is_forward_done = True
        z, log_det = (state, x.new_zeros(len(x))) if traced is None else (state[:, :-1], state[:, -1])
        return Solution(z, log_det, dynamics.forward.clone(), dynamics.backward)


def exact(field: nn.Module, x: Float[Tensor, "batch dim"]) -> Field:
    """Return a field with its exact divergence.

    It is `field` itself if `field` has a formula for the divergence, else ByProbes with the unit vectors.
    """
    if hasattr(field, "with_divergence"):
        return cast(Field, field)
    D = x.shape[1]
    return ByProbes(field, torch.eye(D, dtype=x.dtype, device=x.device)[:, None].expand(D, *x.shape))


def random_probe(x: Float[Tensor, "batch dim"], noise: Noise, kind: str) -> Float[Tensor, "1 batch dim"]:
    """Draw one probe v for each row, with E v v' = I, from the stream "flow.probe" of the noise."""
    if kind == "gaussian":
        return noise.normal("flow.probe", x.shape, like=x)[None]
    return 2 * noise.bernoulli("flow.probe", 0.5, x.shape, like=x)[None] - 1


def divergence(
    h: Float[Tensor, "batch dim"],
    z: Float[Tensor, "batch dim"],
    vectors: Float[Tensor, "probes batch dim"],
    *,
    has_graph: bool,
) -> Float[Tensor, " batch"]:
    """Return sum_k v_k' (dh/dz) v_k for each row, by vector-Jacobian products, where h was computed from z.

    has_graph  whether the result can be differentiated again
    """
    if len(vectors) == 1:
        (rows,) = torch.autograd.grad(h, z, vectors[0], create_graph=has_graph)
        return (rows * vectors[0]).sum(dim=1)
    (rows,) = torch.autograd.grad(h, z, vectors, create_graph=has_graph, is_grads_batched=True)
    return (rows * vectors).sum(dim=(0, 2))


class _Dynamics:
    """The right-hand side of one solve; it counts evaluations and stops a hopeless solve."""

    def __init__(self, field: nn.Module, traced: Field | None, solver: Solver, like: Tensor):
        self.field = field
        self.traced = traced
        self.solver = solver
        self.forward = like.new_zeros(())
        self.backward = like.new_zeros(())
        self.is_forward_done = False
        self.calls = {False: 0, True: 0}
        if solver.is_adaptive:  # torchdiffeq calls these before each step, in the forward and the adjoint solve
            self.callback_step = self._check_step
            self.callback_step_adjoint = self._check_step

    def __call__(self, t: Tensor, state: Tensor) -> Tensor:
        """Return d/dt (z, log_det) = (h(t, z), tr dh/dz)."""
        has_graph = torch.is_grad_enabled()
        self._count(has_graph)
        if self.traced is None:
            return self.field(t, state)
        h, trace = self.traced.with_divergence(t, state[:, :-1])
        return torch.cat([h, trace[:, None]], dim=1)

    def _count(self, has_graph: bool) -> None:
        self.calls[self.is_forward_done] += 1
        if self.is_forward_done:
            self.backward += 1
        else:
            self.forward += 1
            if has_graph:
                self.backward += 1
        if self.solver.is_adaptive and self.calls[self.is_forward_done] > MAX_EVALUATIONS:
            self._stop(f"needs more than {MAX_EVALUATIONS} evaluations")

    def _check_step(self, t: Tensor, state: object, dt: Tensor) -> None:
        if not bool(t + dt > t):
            self._stop(f"underflow in dt at t = {abs(t.item()):.4g}")

    def _stop(self, what: str) -> None:
        raise SolverError(
            f"solver = {self.solver.method}: {what}, so the field is too stiff for rtol = {self.solver.rtol:g}, "
            f"atol = {self.solver.atol:g}: raise both, lower the learning rate, or give solver = rk4"
        )
