"""The flow of an ordinary differential equation as a bijection (Chen et al., 2018; Grathwohl et al., 2019, FFJORD).

    dz/dt = h(t, z),   z(0) = x,   f(x) = z(1),   log |det df/dx| = int_0^1 tr(dh/dz) dt

for any h that is smooth in z (FFJORD, equations 2-4). The trace is computed as a sum of v' (dh/dz) v over probes v.
With the unit vectors as probes it is exact; with random v, E v v' = I, its mean is unbiased (equations 5-7;
Hutchinson, 1990).

There are two kinds of solve, which never share state:

    forward, inverse   for the density and its sampler: `score_steps` equal Runge-Kutta steps of order 4 and the exact
                       trace up to EXACT_DIMENSIONS. An adaptive solver chooses its steps by the error of the whole
                       batch, so a row's value would depend on its neighbours. Fixed steps avoid this, and training
                       mode changes nothing.
    transform          for training: any solver, any trace. Probes are drawn once for each solve and kept during it.
                       Redrawing them within a solve would make the right-hand side noisy, and no step size resolves
                       that. Keeping them from one solve to the next would bias the estimate.
"""

from dataclasses import dataclass
from typing import NamedTuple

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

EXACT_DIMENSIONS = 64  # up to this many, scores use the exact trace, which costs D backward passes an evaluation
SCORE_PROBES = 16  # for more dimensions: fixed Rademacher probes that all rows share
SCORE_NOISE = Noise(seed=0).shared()
MAX_EVALUATIONS = 10_000  # in one solve and direction; a trained flow needs about a hundred


class SolverError(DivergedError):
    """The solver cannot integrate the equation to its tolerance."""


class Probes(NamedTuple):
    """The trace tr J is estimated by weight * sum_k v_k' J v_k; `vectors` has the shape (probes, batch, D)."""

    vectors: Tensor
    weight: float


class Solution(NamedTuple):
    """The result of a training solve.

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
    """The map f of vectors (batch, D) along a field h: (t, z) -> (batch, D).

    solver       used in training
    trace        used in training: hutchinson, with one probe for each row, or exact
    probe        the distribution of the probe; Rademacher's estimate has the smaller variance of the two
    score_steps  steps of forward and inverse
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
        z, log_det, *_ = self._solve(x, score_probes(x), self.scores)
        return z, log_det

    def inverse(self, y):
        x, log_det, *_ = self._solve(y, score_probes(y), self.scores, start=1.0)
        return x, log_det

    def transport(self, z: Float[Tensor, "batch dim"], *, is_inverse: bool = False) -> Float[Tensor, "batch dim"]:
        """Return f(z) or f^-1(z) as `forward` and `inverse` do, without the log-determinant, which saves its cost."""
        return self._solve(z, None, self.scores, start=1.0 if is_inverse else 0.0).z

    def transform(self, x: Float[Tensor, "batch dim"], noise: Noise) -> Solution:
        """Return f(x) and its log-determinant or an unbiased estimate, by the solver and the trace of training."""
        probes = exact_probes(x) if self.trace == "exact" else random_probes(x, noise, self.probe)
        return self._solve(x, probes, self.solver)

    def start(self, x):
        """Return f(x), without the trace, which a start does not need. No parameter depends on the rows."""
        return self.transport(x)

    def _solve(self, x: Tensor, probes: Probes | None, solver: Solver, *, start: float = 0.0) -> Solution:
        """Solve from t = start to t = 1 - start; the state's last column integrates the log-determinant."""
        dynamics = _Dynamics(self.field, probes, solver, x)
        state = x if probes is None else torch.cat([x, x.new_zeros(len(x), 1)], dim=1)
        t = x.new_tensor([start, 1.0 - start])
        how = {"method": solver.method, "rtol": solver.rtol, "atol": solver.atol, "options": solver.options()}
        if solver.adjoint:
            state = odeint_adjoint(dynamics, state, t, adjoint_params=tuple(self.field.parameters()), **how)[-1]
        else:
            state = odeint(dynamics, state, t, **how)[-1]
        dynamics.is_forward_done = True
        z, log_det = (state, x.new_zeros(len(x))) if probes is None else (state[:, :-1], state[:, -1])
        return Solution(z, log_det, dynamics.forward.clone(), dynamics.backward)


def exact_probes(x: Float[Tensor, "batch dim"]) -> Probes:
    """Return the unit vectors, for which sum_d e_d' J e_d = tr J."""
    D = x.shape[1]
    return Probes(torch.eye(D, dtype=x.dtype, device=x.device)[:, None].expand(D, *x.shape), 1.0)


def random_probes(x: Float[Tensor, "batch dim"], noise: Noise, kind: str, count: int = 1) -> Probes:
    """Draw `count` probes a row with E v v' = I, from the stream "flow.probe"."""
    shape = (len(x), count, x.shape[1])
    if kind == "gaussian":
        vectors = noise.normal("flow.probe", shape, like=x)
    else:
        vectors = 2 * noise.bernoulli("flow.probe", 0.5, shape, like=x) - 1
    return Probes(vectors.movedim(1, 0), 1.0 / count)


def score_probes(x: Float[Tensor, "batch dim"]) -> Probes:
    """Return exact probes up to EXACT_DIMENSIONS, else SCORE_PROBES draws that are the same for every row and call."""
    if x.shape[1] <= EXACT_DIMENSIONS:
        return exact_probes(x)
    return random_probes(x, SCORE_NOISE, "rademacher", SCORE_PROBES)


def divergence(
    h: Float[Tensor, "batch dim"], z: Float[Tensor, "batch dim"], probes: Probes, *, has_graph: bool
) -> Float[Tensor, " batch"]:
    """Return weight * sum_k v_k' (dh/dz) v_k for each row, by vector-Jacobian products."""
    vectors = probes.vectors
    if len(vectors) == 1:
        (rows,) = torch.autograd.grad(h, z, vectors[0], create_graph=has_graph)
        return probes.weight * (rows * vectors[0]).sum(dim=1)
    (rows,) = torch.autograd.grad(h, z, vectors, create_graph=has_graph, is_grads_batched=True)
    return probes.weight * (rows * vectors).sum(dim=(0, 2))


class _Dynamics:
    """The right-hand side of one solve; it holds the probes, counts evaluations and stops a hopeless solve."""

    def __init__(self, field: nn.Module, probes: Probes | None, solver: Solver, like: Tensor):
        self.field = field
        self.probes = probes
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
        if self.probes is None:
            return self.field(t, state)
        with torch.enable_grad():  # the trace is a derivative, so it needs gradients even where nothing is trained
            z = state[:, :-1]
            if not (has_graph and z.requires_grad):
                z = z.detach().requires_grad_()
            h = self.field(t, z)
            derivative = torch.cat([h, divergence(h, z, self.probes, has_graph=has_graph)[:, None]], dim=1)
        return derivative if has_graph else derivative.detach()

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
