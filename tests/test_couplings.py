"""Laws of additive and spline couplings, the diagonal scaling, NICE and the neural spline flow."""

import pytest
import torch

from gen_models.bijections.additive_coupling import AdditiveCoupling
from gen_models.bijections.bijection import Compose
from gen_models.bijections.diagonal import MIN_STD, Diagonal
from gen_models.bijections.partition import partitions
from gen_models.bijections.spline import MIN_SHARE, MIN_SLOPE, rational_quadratic, rational_quadratic_inverse
from gen_models.bijections.spline_coupling import SplineCoupling
from gen_models.errors import ConfigError
from gen_models.flows.flow import Flow
from gen_models.flows.nice import NICE
from gen_models.flows.spline_flow import SplineFlow
from gen_models.noise import Noise
from tests.jacobians import assert_log_det_is_that_of_the_jacobian
from tests.nudges import mass_in_the_plane, normal, nudged

NOISE = Noise(seed=11)
B, K = 3.0, 6


# Splines


def spline(*shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """Unnormalised (widths, heights, slopes)."""
    return tuple(scale * normal(*shape, n, seed=n + i).to(dtype) for i, n in enumerate((K, K, K - 1)))


def knots(unnormalised: torch.Tensor) -> torch.Tensor:
    """The inner knots, from the formula."""
    shares = MIN_SHARE / K + (1 - MIN_SHARE) * unnormalised.softmax(-1)
    return 2 * B * shares.cumsum(-1)[..., :-1] - B


def test_a_spline_without_parameters_is_the_identity():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    for maps in (rational_quadratic, rational_quadratic_inverse):
        y, log_slope = maps(x, torch.zeros(K).double(), torch.zeros(K).double(), torch.zeros(K - 1).double(), bound=B)
        torch.testing.assert_close(y, x, rtol=1e-14, atol=1e-14)
        torch.testing.assert_close(log_slope, torch.zeros_like(x), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("scale", "tolerance"), [(0.3, 1e-12), (1.0, 1e-11), (30.0, 1e-9)])
def test_a_spline_and_its_inverse_undo_each_other(scale, tolerance):
    """Of y first: where the slope is e^-20 the rounding of y alone, not the inverse, hides x."""
    y = 2 * normal(400, 3)
    parameters = spline(400, 3, scale=scale)
    x, log_slope_back = rational_quadratic_inverse(y, *parameters, bound=B)
    again, log_slope = rational_quadratic(x, *parameters, bound=B)
    torch.testing.assert_close(again, y, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(log_slope, -log_slope_back, rtol=tolerance, atol=tolerance)


def test_the_inverse_is_finite_in_float32_at_the_steepest_and_the_flattest():
    """The discriminant b^2 - 4ac rounds to less than 0 here; a sum of squares does not."""
    y = torch.linspace(-B, B, 4001)[:, None]
    for seed in range(8):
        parameters = tuple(1e3 * normal(1, n, seed=seed + n).float() for n in (K, K, K - 1))
        x, log_slope = rational_quadratic_inverse(y, *parameters, bound=B)
        assert x.isfinite().all()
        assert log_slope.isfinite().all()
        again, _ = rational_quadratic(x, *parameters, bound=B)
        torch.testing.assert_close(again, y, rtol=0, atol=2e-2)


def test_the_slope_of_a_spline_is_its_derivative_both_ways():
    x, parameters = 2 * normal(200), spline(200)
    for maps in (rational_quadratic, rational_quadratic_inverse):
        x.requires_grad_()
        y, log_slope = maps(x, *parameters, bound=B)
        (slope,) = torch.autograd.grad(y.sum(), x)
        torch.testing.assert_close(log_slope.exp(), slope, rtol=1e-9, atol=1e-12)


def test_a_spline_is_increasing_and_stays_within_the_bound():
    x = torch.linspace(-B, B, 3000, dtype=torch.float64)
    y, _ = rational_quadratic(x, *spline(scale=5.0), bound=B)
    assert (y.diff() > 0).all()
    assert y.abs().max() <= B


def test_a_spline_is_the_identity_beyond_the_bound():
    x = torch.tensor([-7.0, -3.0001, 3.0001, 1e6, torch.inf, torch.nan], dtype=torch.float64)
    for maps in (rational_quadratic, rational_quadratic_inverse):
        y, log_slope = maps(x, *spline(), bound=B)
        assert torch.equal(y[:-1], x[:-1])
        assert y[-1].isnan(), "what is no number stays none"
        assert (log_slope == 0).all()


def test_a_spline_and_its_slope_are_continuous_at_the_knots_and_the_ends():
    """Through (x_k, y_k), of the slope that was asked for, from both sides."""
    widths, heights, slopes = spline()
    ends = torch.tensor([-B, B], dtype=torch.float64)
    x_knots, y_knots = (torch.cat([ends[:1], knots(u), ends[1:]]) for u in (widths, heights))
    offset = torch.tensor(1 - MIN_SLOPE, dtype=torch.float64).expm1().log()
    inner = (MIN_SLOPE + torch.nn.functional.softplus(slopes + offset)).log()
    expected = torch.cat([torch.zeros(1).double(), inner, torch.zeros(1).double()])
    for side in (-1e-9, 0.0, 1e-9):
        y, log_slope = rational_quadratic(x_knots + side, widths, heights, slopes, bound=B)
        torch.testing.assert_close(y, y_knots, rtol=0, atol=1e-7)
        torch.testing.assert_close(log_slope, expected, rtol=0, atol=1e-6)


def test_bins_keep_their_least_size():
    """Parameters that ask for bins of no size get those of MIN_SHARE of an equal one, and slopes of MIN_SLOPE."""
    widths = torch.tensor([1e4, 0, 0, 0, 0, 0], dtype=torch.float64)
    x, log_slope = rational_quadratic_inverse(
        knots(torch.zeros(K).double()), widths, torch.zeros(K).double(), torch.full((K - 1,), -1e4).double(), bound=B
    )
    torch.testing.assert_close(x, knots(widths))
    torch.testing.assert_close(x.diff(), torch.full((K - 2,), MIN_SHARE * 2 * B / K).double())
    expected = -torch.full((K - 1,), MIN_SLOPE).double().log()
    torch.testing.assert_close(log_slope, expected, rtol=0, atol=1e-4)  # the curve is steep beside a knot


def test_one_spline_serves_all_rows():
    x, parameters = normal(20, 3), spline(3)
    y, log_slope = rational_quadratic(x, *parameters, bound=B)
    copies, log_slopes = rational_quadratic(x, *(p.expand(20, 3, -1) for p in parameters), bound=B)
    torch.testing.assert_close(y, copies, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_slope, log_slopes, rtol=1e-12, atol=1e-12)


# Couplings and the scaling

FIRST, SECOND = partitions(5, 2)
BIJECTIONS = {
    "additive": lambda: AdditiveCoupling(FIRST, [8]),
    "additive, linear": lambda: AdditiveCoupling(SECOND, []),
    "spline": lambda: SplineCoupling(FIRST, [8], bins=4, bound=2.0),
    "spline of the other half": lambda: SplineCoupling(SECOND, [8, 8], bins=2, bound=3.0),
    "diagonal": lambda: Diagonal(5),
    "composition": lambda: Compose(
        [AdditiveCoupling(FIRST, [8]), SplineCoupling(SECOND, [8], bins=5, bound=3.0), Diagonal(5)]
    ),
}
each_bijection = pytest.mark.parametrize("make", BIJECTIONS.values(), ids=BIJECTIONS)


@each_bijection
def test_forward_and_inverse_undo_each_other(make):
    bijection, x = nudged(make()), 1.5 * normal(30, 5)
    for one, other in ((bijection.forward, bijection.inverse), (bijection.inverse, bijection.forward)):
        y, log_det = one(x)
        back, log_det_back = other(y)
        torch.testing.assert_close(back, x, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(log_det_back, -log_det, rtol=1e-10, atol=1e-10)


@each_bijection
def test_log_det_is_that_of_the_autograd_jacobian(make):
    bijection, x = nudged(make()), 1.5 * normal(6, 5)
    assert_log_det_is_that_of_the_jacobian(bijection.forward, x)
    assert_log_det_is_that_of_the_jacobian(bijection.inverse, x)


@each_bijection
def test_a_bijection_starts_as_the_identity(make):
    bijection, x = make().double(), normal(9, 5)
    y, log_det = bijection(x)
    torch.testing.assert_close(y, x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(log_det, torch.zeros(9).double(), rtol=1e-6, atol=1e-6)


@each_bijection
def test_gradients_reach_every_parameter(make):
    bijection = nudged(make())
    z, log_det = bijection(normal(30, 5))
    parameters = dict(bijection.named_parameters())
    loss = (z.square().sum(1) - log_det).mean()
    for name, gradient in zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True):
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name


@each_bijection
def test_rows_do_not_meet(make):
    bijection, x = nudged(make()), normal(12, 5)
    for maps in (bijection.forward, bijection.inverse):
        for whole, parts in zip(maps(x), zip(*(maps(part) for part in x.split([1, 4, 7])), strict=True), strict=True):
            torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)
        y, log_det = maps(x[:0])
        assert y.shape == (0, 5)
        assert log_det.shape == (0,)


@pytest.mark.parametrize("name", ["additive", "spline"])
def test_a_coupling_changes_only_the_moved(name):
    coupling, x = nudged(BIJECTIONS[name]()), normal(20, 5)
    y, _ = coupling(x)
    assert torch.equal(y[:, FIRST.kept], x[:, FIRST.kept])
    assert (y[:, FIRST.moved] != x[:, FIRST.moved]).any(dim=0).all()
    assert set(coupling.state_dict()) >= {"kept", "moved", "net.0.weight"}


def test_additive_couplings_preserve_volume():
    parts = [nudged(AdditiveCoupling(partition, [8])) for partition in (FIRST, SECOND, FIRST)]
    _, log_det = Compose(parts)(normal(20, 5))
    assert torch.equal(log_det, torch.zeros(20).double())


def test_the_scaling_starts_at_unit_variance():
    x = normal(50, 4) * torch.tensor([0.1, 1.0, 7.0, 0.0], dtype=torch.float64) + 3
    layer = Diagonal(4).double()
    y = layer.start(x)
    torch.testing.assert_close(y.std(0, correction=0)[:3], torch.ones(3).double())
    torch.testing.assert_close(layer.s[3].exp().item(), 1 / MIN_STD)
    torch.testing.assert_close(layer(x)[1], layer.s.sum().expand(50))


# Flows


def nice(base: str, event_shape: tuple[int, ...] = (2,), levels: int | None = None) -> Flow:
    return NICE(event_shape, levels, couplings=4, hidden=[8], base=base)


def spline_flow(event_shape: tuple[int, ...] = (2,), levels: int | None = None) -> Flow:
    return SplineFlow(event_shape, levels, couplings=3, hidden=[8], bins=5, bound=3.0)


FLOWS = {"nice logistic": lambda: nice("logistic"), "nice normal": lambda: nice("normal"), "spline": spline_flow}
each_flow = pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)


@each_flow
def test_a_density_in_the_plane_integrates_to_one(make):
    assert abs(mass_in_the_plane(nudged(make(), scale=0.15), reach=15, points=400) - 1) < 1e-3


@each_flow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=str)
def test_a_flow_undoes_its_inverse_on_draws_from_the_prior(make, dtype, tolerance):
    """In float32 to 1e-4, absolute and of |z| up to 8."""
    model = nudged(make()).to(dtype)
    z = model.base.from_normal(NOISE.normal("z", (500, 2), like=model.data_scale.scale))
    y, log_det_back = model.bijection.inverse(z)
    again, log_det = model.bijection(y)
    torch.testing.assert_close(again, z, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(log_det, -log_det_back, rtol=10 * tolerance, atol=10 * tolerance)


@each_flow
def test_a_flow_starts_as_the_standardisation(make):
    x = 3 + 2 * normal(200, 2)
    model = make().double()
    model.warm_start(x, NOISE)
    torch.testing.assert_close(model.encode(x), (x - x.mean(0)) / x.std(0, correction=0), rtol=1e-6, atol=1e-6)


def test_nice_by_hand():
    """At the start: the density of the base, of columns in standard deviations."""
    x = 3 + 2 * normal(40, 2)
    y = (x - x.mean(0)) / x.std(0, correction=0)
    scale = x.std(0, correction=0).log().sum()
    logistic = (-y - 2 * torch.log1p((-y).exp())).sum(1)
    gaussian = torch.distributions.Normal(x.new_zeros(()), x.new_ones(())).log_prob(y).sum(1)
    for base, expected in (("logistic", logistic), ("normal", gaussian)):
        model = nice(base).double()
        model.warm_start(x, NOISE)
        torch.testing.assert_close(model.log_prob(x), expected - scale)


def test_nice_keeps_grey_levels_on_the_unit_interval():
    """(x + u)/q, then unit variance of each pixel, and no logit; constant pixels cost no step."""
    x = torch.randint(0, 17, (400, 1, 2, 2), generator=torch.Generator().manual_seed(1)).double()
    x[:, 0, 0, 0] = 0
    model = nice("normal", (1, 2, 2), 17).double()
    model.warm_start(x, NOISE)
    y = model.data_scale(x, NOISE)
    assert y.min() >= 0
    assert y.max() < 1
    z, _ = model.bijection(y)
    torch.testing.assert_close(z, (y / y.std(0, correction=0)).flatten(1))


def test_nice_keeps_even_and_odd_in_turn():
    kept = [part.kept.tolist() for part in nice("normal", (6,)).bijection.parts if hasattr(part, "kept")]
    assert kept == [[0, 2, 4], [1, 3, 5]] * 2


@pytest.mark.parametrize("make", [lambda: nice("logistic", (1, 2, 3), 17), lambda: spline_flow((1, 2, 3), 17)])
def test_levels_survive_the_latents(make):
    x = torch.randint(0, 17, (50, 1, 2, 3), generator=torch.Generator().manual_seed(1)).double()
    model = make()
    model.double().warm_start(x, NOISE)
    model = nudged(model, scale=0.1)
    assert torch.equal(model.decode(model.encode(x)), x)


def test_a_spline_flow_finds_two_modes():
    """Where the best Gaussian lies between them."""
    generator = torch.Generator().manual_seed(6)
    side = torch.randint(0, 2, (512, 1), generator=generator).double() * 2 - 1
    x = torch.cat([2 * side, side], dim=1) + 0.3 * normal(512, 2)
    torch.manual_seed(0)
    model = SplineFlow([2], None, couplings=2, hidden=[16], bins=8, bound=4.0).double()
    model.warm_start(x, NOISE)
    gaussian = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T)).log_prob(x).mean()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(60):
        optimiser.zero_grad()
        model.loss(x, NOISE.at(step)).value.backward()
        optimiser.step()
    assert model.eval().log_prob(x).mean() > gaussian + 0.3


@pytest.mark.parametrize(
    ("flow", "arguments", "message"),
    [
        (NICE, {"couplings": 0, "hidden": [4]}, "couplings = 0"),
        (NICE, {"couplings": 2, "hidden": [0]}, r"hidden\[0\] = 0"),
        (NICE, {"couplings": 2, "hidden": [4], "base": "logistc"}, "did you mean 'logistic'"),
        (SplineFlow, {"couplings": 2, "hidden": [4], "bins": 1}, "bins = 1"),
        (SplineFlow, {"couplings": 2, "hidden": [4], "bound": 0.0}, r"bound = 0\.0"),
    ],
)
def test_what_cannot_be_built_says_why(flow, arguments, message):
    with pytest.raises(ConfigError, match=message):
        flow([2], None, **arguments)


@pytest.mark.parametrize("flow", [NICE, SplineFlow])
def test_one_dimension_has_no_coupling(flow):
    with pytest.raises(ConfigError, match="1 dimension"):
        flow([1], None, couplings=2, hidden=[4])
