"""Laws of continuous flows: inverse, log-determinant, closed forms, traces, gradients, counts, the minimiser."""

import pickle

import pytest
import torch
from torch import nn

from gen_models.bijections import ode
from gen_models.bijections.ode import ContinuousBijection, Solver, SolverError
from gen_models.errors import ConfigError, GenModelsError
from gen_models.flows.ffjord import FFJORD
from gen_models.flows.flow_matching import FlowMatching
from gen_models.layers.vector_field import ACTIVATIONS, VectorField
from gen_models.noise import Noise
from tests.nudges import mass_in_the_plane, normal, nudged

NOISE = Noise(seed=11)
ADAPTIVE_TIGHT = Solver("dopri5", rtol=1e-9, atol=1e-9)


class LinearField(nn.Module):
    """h = A z."""

    def __init__(self, matrix: torch.Tensor):
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, t, z):
        return z @ self.matrix.mT


class Plain(nn.Module):
    """Another field without its formula of the divergence."""

    def __init__(self, field: nn.Module):
        super().__init__()
        self.field = field

    def forward(self, t, z):
        return self.field(t, z)


def bijection(dimensions: int = 3, solver: Solver | None = None, **arguments) -> ContinuousBijection:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        field = nudged(VectorField(dimensions, [8, 8]))
    return ContinuousBijection(field, solver=solver or Solver(), **arguments)


# The map


def test_inverse_of_forward_is_the_identity_to_the_solver_s_error():
    errors = []
    x = normal(6, 3)
    for steps in (10, 20, 40):
        flow = bijection(score_steps=steps)
        z, log_det = flow(x)
        back, log_det_back = flow.inverse(z)
        assert (z - x).abs().max() > 0.5, "the map is not the identity"
        errors.append(max((back - x).abs().max().item(), (log_det + log_det_back).abs().max().item()))
    assert errors[2] < 1e-5
    assert errors[1] < errors[0] / 8, "order 4 gives 16"
    assert errors[2] < errors[1] / 8


def test_log_det_is_that_of_the_autograd_jacobian():
    """The trace's integral is the log-determinant of the exact flow; of the discrete map up to the solver's error."""
    flow, x = bijection(score_steps=60), normal(4, 3).requires_grad_()
    for is_inverse in (False, True):
        _, log_det = flow.inverse(x) if is_inverse else flow(x)
        z = flow.transport(x, is_inverse=is_inverse)
        J = torch.stack([torch.autograd.grad(z[:, d].sum(), x, retain_graph=True)[0] for d in range(3)], dim=1)
        torch.testing.assert_close(torch.linalg.slogdet(J).logabsdet, log_det, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("solver", [Solver("rk4", steps=60), ADAPTIVE_TIGHT], ids=["rk4", "dopri5"])
def test_a_linear_field_flows_by_the_matrix_exponential(solver):
    A, x = normal(3, 3), normal(5, 3, seed=6)
    flow = ContinuousBijection(LinearField(A), solver=solver, trace="exact", score_steps=60)
    expected, log_det = x @ torch.linalg.matrix_exp(A).mT, A.trace().expand(5)
    solution = flow.transform(x, NOISE)
    for z, found in ((solution.z, solution.log_det), flow(x)):
        torch.testing.assert_close(z, expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found, log_det, rtol=1e-9, atol=1e-9)
    back, log_det_back = flow.inverse(expected)
    torch.testing.assert_close(back, x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(log_det_back, -log_det, rtol=1e-9, atol=1e-9)


def test_the_grid_of_scores_agrees_with_a_tight_adaptive_solver():
    flow, x = bijection(solver=ADAPTIVE_TIGHT, trace="exact"), normal(6, 3)
    z, log_det = flow(x)
    exact = flow.transform(x, NOISE)
    torch.testing.assert_close(z, exact.z, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(log_det, exact.log_det, rtol=1e-5, atol=1e-5)


def test_transport_is_the_map_without_its_log_det():
    flow, x = bijection(), normal(6, 3)
    torch.testing.assert_close(flow.transport(x), flow(x)[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(flow.transport(x, is_inverse=True), flow.inverse(x)[0], rtol=1e-12, atol=1e-12)


def test_scores_are_the_same_in_training_mode():
    flow, x = bijection(solver=Solver("euler", steps=1)), normal(6, 3)
    for mode in (True, False):
        flow.train(mode)
        torch.testing.assert_close(flow(x)[1], bijection()(x)[1], rtol=0, atol=0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_field_can_be_pickled(activation):
    field, x, t = nudged(VectorField(3, [8], activation=activation)), normal(6, 3), torch.tensor(0.3).double()
    again = pickle.loads(pickle.dumps(field))  # noqa: S301
    for one, other in zip(again.with_divergence(t, x), field.with_divergence(t, x), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_field_starts_at_zero(activation):
    field, x = VectorField(3, [8], activation=activation).double(), normal(6, 3)
    assert torch.equal(field(torch.tensor(0.3, dtype=torch.float64), x), torch.zeros_like(x))


def test_a_field_takes_one_time_or_one_for_each_row():
    field, x, t = nudged(VectorField(3, [8])), normal(6, 3), normal(6, 1).sigmoid()
    rows = torch.cat([field(time[0], row[None]) for time, row in zip(t, x, strict=True)])
    torch.testing.assert_close(field(t, x), rows)
    assert not torch.allclose(field(t, x), field(0 * t, x)), "the time matters"


# The trace


@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
def test_hutchinson_is_unbiased(probe):
    """4000 solves of the same rows with a probe each: their mean within 4 standard errors of the exact trace."""
    flow = bijection(solver=Solver("rk4", steps=4), trace="hutchinson", probe=probe)
    exact = bijection(solver=Solver("rk4", steps=4), trace="exact")
    x, count = normal(2, 3), 4000
    with torch.no_grad():
        draws = flow.transform(x.repeat(count, 1), NOISE).log_det.view(count, 2)
        error = draws.mean(0) - exact.transform(x, NOISE).log_det
    assert (draws.std(0) > 0.05).all(), "the estimate is random"
    assert (error.abs() < 4 * draws.std(0) / count**0.5).all()


def test_probes_are_new_for_each_solve_and_fixed_within_it():
    """Within a solve: of a field constant in time and linear in z the estimate is v' A v whatever the grid."""
    A, x = normal(3, 3), normal(5, 3, seed=6)
    coarse, fine = (
        ContinuousBijection(LinearField(A), solver=Solver("rk4", steps=steps)).transform(x, NOISE).log_det
        for steps in (1, 7)
    )
    torch.testing.assert_close(coarse, fine, rtol=1e-12, atol=1e-12)
    other = ContinuousBijection(LinearField(A), solver=Solver("rk4", steps=7)).transform(x, NOISE.at(1)).log_det
    assert not torch.allclose(other, fine)
    assert fine.unique().numel() > 1, "a probe for each row"


def test_two_forwards_before_one_backward_stay_right():
    """With the adjoint, whose backward pass solves again: each must find the probe of its own forward."""
    flow, x = bijection(solver=Solver("rk4", steps=20, adjoint=True)), normal(6, 3)
    weight = flow.field.layers[0].linear.weight
    alone = [torch.autograd.grad(flow.transform(x, NOISE.at(k)).log_det.sum(), weight)[0] for k in (0, 1)]
    first, second = flow.transform(x, NOISE.at(0)), flow.transform(x, NOISE.at(1))
    assert not torch.allclose(alone[0], alone[1])
    torch.testing.assert_close(torch.autograd.grad(second.log_det.sum(), weight)[0], alone[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(first.log_det.sum(), weight)[0], alone[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hidden", [[], [8], [8, 6], [8, 6, 5], [2, 8, 6], [2, 8, 6, 5]], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_fields_own_divergence_is_the_trace_of_its_autograd_jacobian(hidden, activation):
    field, x, t = nudged(VectorField(3, hidden, activation=activation)), normal(6, 3), torch.tensor(0.3).double()
    h, found = field.with_divergence(t, x)
    J = torch.func.vmap(torch.func.jacrev(lambda row: field(t, row[None])[0]))(x)
    torch.testing.assert_close(h, field(t, x), rtol=0, atol=0)
    torch.testing.assert_close(found, J.diagonal(dim1=1, dim2=2).sum(dim=1), rtol=1e-12, atol=1e-12)


def test_scores_of_100_dimensions_are_exact():
    flow, x = bijection(100, score_steps=2), normal(3, 100)
    by_unit_vectors = bijection(100, score_steps=2)
    by_unit_vectors.field = Plain(by_unit_vectors.field)
    torch.testing.assert_close(flow(x)[1], by_unit_vectors(x)[1], rtol=1e-9, atol=1e-9)
    assert flow(x)[1].abs().min() > 1e-3


# Gradients and counts


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_adjoint_and_direct_gradients_agree(method, trace):
    gradients = []
    for adjoint in (False, True):
        solver = Solver(method, steps=40, rtol=1e-8, atol=1e-8, adjoint=adjoint)
        flow, x = bijection(solver=solver, trace=trace), normal(6, 3).requires_grad_()
        solution = flow.transform(x, NOISE)
        value = solution.z.square().sum() + solution.log_det.sum()
        gradients.append(torch.autograd.grad(value, [x, *flow.parameters()]))
    for direct, by_adjoint in zip(*gradients, strict=True):
        torch.testing.assert_close(by_adjoint, direct, rtol=1e-4, atol=1e-4)


def test_a_tighter_tolerance_takes_more_evaluations():
    counts = []
    for tolerance in (1e-3, 1e-6, 1e-9):
        flow = bijection(solver=Solver("dopri5", rtol=tolerance, atol=tolerance))
        counts.append(flow.transform(normal(6, 3), NOISE).evaluations_forward.item())
    assert counts[0] < counts[1] < counts[2]


def test_a_fixed_grid_takes_four_evaluations_a_step_and_counts_them_both_ways():
    x = normal(6, 3)
    direct = bijection(solver=Solver("rk4", steps=5)).transform(x, NOISE)
    assert (direct.evaluations_forward.item(), direct.evaluations_backward.item()) == (20, 20)
    adjoint = bijection(solver=Solver("rk4", steps=5, adjoint=True)).transform(x, NOISE)
    assert (adjoint.evaluations_forward.item(), adjoint.evaluations_backward.item()) == (20, 0)
    adjoint.log_det.sum().backward()
    assert (adjoint.evaluations_forward.item(), adjoint.evaluations_backward.item()) == (20, 20)


# Errors


class Explosive(nn.Module):
    """dz/dt = factor z^2: infinite at t = 1/z(0) if the factor is 1."""

    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.ones(()))
        self.factor = 1.0

    def forward(self, t, z):
        return self.factor * self.rate * z.square()


def test_underflow_in_dt_says_what_to_do():
    flow = ContinuousBijection(Explosive(), solver=Solver("dopri5"), trace="exact")
    with pytest.raises(SolverError, match=r"solver = dopri5: .*rtol = 1e-05.*rk4") as caught:
        flow.transform(torch.full((1, 1), 5.0), NOISE)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, GenModelsError)


def test_underflow_in_the_adjoint_s_backward_solve_says_so_too():
    """A field that explodes once the forward pass is over stands for a stiff adjoint equation."""
    field = Explosive()
    flow = ContinuousBijection(field, solver=Solver("dopri5", adjoint=True), trace="exact")
    value = flow.transform(torch.full((1, 1), 0.5), NOISE).z.sum()
    field.factor = float("inf")
    with pytest.raises(SolverError, match="solver = dopri5"):
        value.backward()


def test_a_solve_that_never_ends_is_stopped(monkeypatch):
    monkeypatch.setattr(ode, "MAX_EVALUATIONS", 20)
    with pytest.raises(SolverError, match="more than 20 evaluations"):
        bijection(solver=ADAPTIVE_TIGHT).transform(normal(6, 3), NOISE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"solver": "dopri"}, "did you mean 'dopri"),
        ({"steps": 0}, "steps = 0"),
        ({"rtol": -1.0}, r"rtol = -1\.0"),
        ({"trace": "hutch"}, "trace"),
        ({"probe": "uniform"}, "probe"),
        ({"activation": "relu"}, "activation"),
        ({"score_steps": 0}, "score_steps = 0"),
        ({"hidden": [4, 0]}, r"hidden\[1\] = 0"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, message):
    with pytest.raises(ConfigError, match=message):
        FFJORD([2], None, **{"hidden": [4], **arguments})


# The models


def test_density_in_the_plane_integrates_to_one():
    flow = nudged(FFJORD([2], None, hidden=[8], score_steps=10))
    assert abs(mass_in_the_plane(flow, reach=10, points=90) - 1) < 1e-4


def test_the_loss_of_ffjord_with_the_exact_trace_is_minus_log_prob():
    model, x = FFJORD([2], None, hidden=[8], trace="exact", solver="dopri5", rtol=1e-8, atol=1e-8), normal(20, 2)
    nudged(model.ode)
    model.double()
    model.warm_start(x, NOISE)
    loss = model.loss(x, NOISE)
    torch.testing.assert_close(loss.value, -model.log_prob(x).mean(), rtol=1e-5, atol=1e-5)
    assert torch.equal(loss.terms["nats"], loss.value)


class GaussianField(nn.Module):
    """h(t, w) = E[z - y | (1 - t) y + t z = w] = (t - (1 - t) s^2) w / (t^2 + (1 - t)^2 s^2) for y ~ N(0, s^2 I)."""

    def __init__(self, s: float):
        super().__init__()
        self.s = s
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, t, z):
        variance = t**2 + (1 - t) ** 2 * self.s**2
        return self.gain * (t - (1 - t) * self.s**2) / variance * z


def gaussian_matching(s: float) -> FlowMatching:
    model = FlowMatching([2], None, hidden=[4])
    model.ode.field = GaussianField(s)
    return model.double()


def test_flow_matching_is_stationary_at_the_analytic_field():
    """Its gradient there is 0 in expectation, and a different field has another: within 4 standard errors."""
    s, slopes = 0.5, {}
    for gain in (1.0, 1.2):
        model = gaussian_matching(s)
        with torch.no_grad():
            model.ode.field.gain.fill_(gain)
        draws = []
        for step in range(50):
            x = s * NOISE.at(step).normal("x", (500, 2), like=torch.zeros((), dtype=torch.float64))
            draws.append(torch.autograd.grad(model.loss(x, NOISE.at(step)).value, model.ode.field.gain)[0])
        slopes[gain] = torch.stack(draws).mean() / (torch.stack(draws).std() / 50**0.5)
    assert slopes[1.0].abs() < 4
    assert slopes[1.2] > 10


def test_the_analytic_field_carries_the_data_s_density_to_the_base_s():
    s, x = 0.5, 0.5 * normal(40, 2)
    model = gaussian_matching(s)
    exact = torch.distributions.Normal(torch.zeros(2, dtype=torch.float64), s).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_prob(x), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.encode(x), x / s, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("model", "arguments", "steps"), [(FFJORD, {"steps": 3}, 40), (FlowMatching, {}, 400)])
def test_training_beats_the_best_gaussian_on_a_curve(model, arguments, steps):
    """x2 = x1^2 + noise: no Gaussian comes near."""
    noise = normal(256, 2)
    x = torch.stack([noise[:, 0], noise[:, 0].square() + 0.2 * noise[:, 1]], dim=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = model([2], None, hidden=[32, 32], **arguments).double().train()
    flow.warm_start(x, NOISE)
    gaussian = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T)).log_prob(x).mean()
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-2)
    for step in range(steps):
        optimiser.zero_grad()
        flow.loss(x, NOISE.at(step)).value.backward()
        optimiser.step()
    with torch.no_grad():
        assert flow.eval().log_prob(x).mean() > gaussian + 0.2
