"""Flows of one dimension and the affine flow: laws of their bijections, bases, universality and closed forms."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ndtr as scipy_ndtr

from gen_models.bijections.affine import AffineMap
from gen_models.bijections.bijection import Compose
from gen_models.bijections.scalar import MixtureCDF, ScalarSpline, Squash, Transport
from gen_models.errors import ConfigError
from gen_models.flows.affine_flow import AffineFlow
from gen_models.flows.base import BASES, Beta, Logistic, Normal, OnTheLine, Uniform, UnitBase, base_of
from gen_models.flows.scalar_flow import MAPS, ScalarFlow, UniversalFlow
from gen_models.noise import Noise
from pipelines.data.sources.gaussians import MIXTURES
from tests.jacobians import assert_log_det_is_that_of_the_jacobian
from tests.nudges import normal, nudged

NOISE = Noise(seed=11)
REFERENCES = {"normal": stats.norm, "logistic": stats.logistic, "uniform": stats.uniform, "beta": stats.beta(5, 5)}
LAWS = {
    **{name: make() for name, make in BASES.items()},
    **{
        f"{name} through {kernel}": OnTheLine(base_of(name), base_of(kernel))
        for name in ("uniform", "beta")
        for kernel in ("normal", "logistic")
    },
}
each_base = pytest.mark.parametrize("name", BASES)
each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
each_map = pytest.mark.parametrize("map", MAPS)


def scalar_flow(map: str, base: str, D: int = 1) -> ScalarFlow:
    return nudged(ScalarFlow([D], None, map=map, base=base, components=6))


def tails(law) -> torch.Tensor:
    """z from the median out to where 1e-300 of the mass is left, on both sides."""
    log_u = -torch.logspace(math.log10(math.log(2) + 1e-3), math.log10(690), 40, dtype=torch.float64)
    log_rest = torch.log1p(-log_u.exp())
    return torch.cat([law.quantile(log_u, log_rest), law.quantile(log_rest, log_u)])


# Bases


@each_base
def test_a_base_is_the_textbook_distribution(name):
    base, exact = BASES[name](), REFERENCES[name]
    z = torch.from_numpy(exact.ppf(np.linspace(1e-6, 1 - 1e-6, 101)))
    log_lower, log_upper = base.log_cdf(z)
    expected = (exact.logpdf(z), exact.logcdf(z), exact.logsf(z))
    for found, value in zip((base.log_pdf(z), log_lower, log_upper), expected, strict=True):
        torch.testing.assert_close(found, torch.from_numpy(value), rtol=1e-9, atol=1e-10)
    n = torch.linspace(-8, 8, 33, dtype=torch.float64)
    expected = np.where(n.numpy() <= 0, exact.ppf(scipy_ndtr(n.numpy())), exact.isf(scipy_ndtr(-n.numpy())))
    torch.testing.assert_close(base.from_normal(n[:, None])[:, 0], torch.from_numpy(expected), rtol=1e-9, atol=1e-12)


@each_base
def test_the_log_density_of_a_row_is_the_sum_of_its_coordinates(name):
    base = BASES[name]()
    z = base.from_normal(normal(7, 3))
    torch.testing.assert_close(base.log_density(z), torch.from_numpy(REFERENCES[name].logpdf(z).sum(1)))


@pytest.mark.parametrize("base", [Uniform(), Beta()], ids=["uniform", "beta"])
def test_outside_the_unit_interval_the_log_density_is_minus_infinity_and_its_gradient_finite(base):
    z = torch.tensor([[-0.5], [0.0], [0.5], [1.0], [1.5], [math.inf]], dtype=torch.float64, requires_grad=True)
    value = base.log_density(z)
    assert value.isneginf().tolist() == [True, True, False, True, True, True]
    (value[2] + z.sum()).backward()  # the uniform density has no graph of its own
    assert z.grad.isfinite().all()


@each_law
def test_a_quantile_undoes_the_cdf_far_into_both_tails(law):
    if isinstance(law, UnitBase):  # near 1 a number z cannot say it: the pair does
        log_u = -torch.logspace(-0.1, 2.8, 30, dtype=torch.float64)
        pair = law.quantile_at(log_u, torch.log1p(-log_u.exp()))
        torch.testing.assert_close(law.log_cdf_at(*pair)[0], log_u, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(law.log_cdf_at(*pair[::-1])[1], log_u, rtol=1e-12, atol=1e-12)
        return
    z = tails(law)
    assert z.isfinite().all()
    torch.testing.assert_close(law.quantile(*law.log_cdf(z)), z, rtol=1e-10, atol=1e-10)


@each_law
def test_the_density_is_the_slope_of_the_cdf_and_the_quantile_has_its_inverse(law):
    """d log F/dz = p/F, and d F^-1(u)/d log u = u/p, by autograd against the formulas."""
    z = law.from_normal(torch.linspace(-4, 4, 21, dtype=torch.float64)[:, None]).requires_grad_()
    log_lower, _ = law.log_cdf(z)
    (slope,) = torch.autograd.grad(log_lower.sum(), z)
    torch.testing.assert_close(slope.log(), law.log_pdf(z) - log_lower, rtol=1e-8, atol=1e-8)
    log_u = log_lower.detach().requires_grad_()
    back = law.quantile(log_u, torch.log1p(-log_u.exp()))
    (inverse_slope,) = torch.autograd.grad(back.sum(), log_u)
    torch.testing.assert_close(inverse_slope.log(), log_lower - law.log_pdf(z), rtol=1e-7, atol=1e-7)


@each_law
def test_a_law_is_finite_beyond_where_probabilities_underflow(law):
    n = torch.tensor([[-1e3, -60.0, -38.0, 38.0, 60.0, 1e3]], dtype=torch.float64)
    z = law.from_normal(n)
    assert z.isfinite().all()
    if not isinstance(law, UnitBase):
        assert (z.diff() > 0).all()
        assert law.log_density(z).isfinite().all()


def test_the_normal_quantile_is_exact_where_probabilities_underflow():
    n = torch.tensor([-1e6, -1e3, -60.0, -38.0, -1.0, -1e-9, 0.0, 1e-9, 5.0, 1e3], dtype=torch.float64)
    torch.testing.assert_close(Normal().quantile(*Normal().log_cdf(n)), n, rtol=1e-13, atol=1e-15)


# Bijections

BIJECTIONS = {
    "gaussians": (lambda: MixtureCDF(3, 5, Normal()), 3 * normal(6, 3)),
    "logistics": (lambda: MixtureCDF(3, 5, Logistic()), 3 * normal(6, 3)),
    "one gaussian": (lambda: MixtureCDF(3, 1, Normal()), 3 * normal(6, 3)),
    "spline": (lambda: ScalarSpline(3, 5, bound=2.0), 2 * normal(6, 3)),
    "transport": (lambda: Transport(Normal(), OnTheLine(Beta(), Normal())), 2 * normal(6, 3)),
    "squash": (lambda: Squash(Normal()), normal(6, 3)),
    "logistic squash": (lambda: Squash(Logistic()), normal(6, 3)),
    "affine": (lambda: AffineMap(4), normal(6, 4)),
    "affine of one": (lambda: AffineMap(1), normal(6, 1)),
    "composition": (
        lambda: Compose([AffineMap(3), MixtureCDF(3, 4, Logistic()), ScalarSpline(3, 4, bound=3.0), Squash(Normal())]),
        0.5 * normal(6, 3),
    ),
}
each_bijection = pytest.mark.parametrize(("make", "x"), BIJECTIONS.values(), ids=BIJECTIONS)


@each_bijection
def test_forward_and_inverse_undo_each_other(make, x):
    bijection = nudged(make())
    y, log_det = bijection(x)
    back, log_det_back = bijection.inverse(y)
    torch.testing.assert_close(back, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_det_back, -log_det, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(bijection(back)[0], y, rtol=1e-10, atol=1e-10)


@each_bijection
def test_log_det_is_that_of_the_autograd_jacobian(make, x):
    bijection = nudged(make())
    assert_log_det_is_that_of_the_jacobian(bijection.forward, x)
    assert_log_det_is_that_of_the_jacobian(bijection.inverse, bijection(x)[0].detach())


@each_bijection
def test_no_rows_go_through_and_a_row_does_not_see_the_others(make, x):
    bijection = nudged(make())
    y, log_det = bijection(x)
    assert bijection(x[:0])[0].shape == y[:0].shape
    assert bijection.inverse(y[:0])[0].shape == x[:0].shape
    torch.testing.assert_close(bijection(x[2:3])[0], y[2:3], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(bijection(x[2:3])[1], log_det[2:3], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [Normal(), Logistic()], ids=["gaussians", "logistics"])
def test_a_mixture_cdf_is_the_mixture_of_cdfs(kernel):
    bijection = nudged(MixtureCDF(1, 4, kernel))
    exact = stats.norm if isinstance(kernel, Normal) else stats.logistic
    weights, means = bijection.logits.softmax(1)[0].detach(), bijection.means[0].detach()
    scales = bijection._log_scales()[0].exp().detach()
    x = torch.linspace(-6, 6, 50, dtype=torch.float64)[:, None]
    log_lower, log_upper = bijection.log_cdf(x)
    t = (x - means) / scales
    torch.testing.assert_close(log_lower.exp()[:, 0].detach(), (torch.from_numpy(exact.cdf(t)) * weights).sum(1))
    torch.testing.assert_close(log_upper.exp()[:, 0].detach(), (torch.from_numpy(exact.sf(t)) * weights).sum(1))
    density = (torch.from_numpy(exact.pdf(t)) * weights / scales).sum(1)
    torch.testing.assert_close(bijection.log_pdf(x).exp()[:, 0].detach(), density)


def test_one_component_is_affine():
    bijection = nudged(MixtureCDF(1, 1, Normal()))
    x = torch.linspace(-1e3, 1e3, 21, dtype=torch.float64)[:, None]
    expected = (x - bijection.means) / bijection._log_scales().exp()
    torch.testing.assert_close(bijection(x)[0], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kernel", [Normal(), Logistic()], ids=["gaussians", "logistics"])
def test_the_inverse_finds_its_way_through_a_gap_between_far_components(kernel):
    bijection = MixtureCDF(1, 2, kernel).double()
    with torch.no_grad():
        bijection.means.copy_(torch.tensor([[-30.0, 50.0]]))
        bijection.logits.copy_(torch.tensor([[1.0, 0.0]]))
    y = torch.linspace(-40, 40, 401, dtype=torch.float64)[:, None]
    torch.testing.assert_close(bijection(bijection.inverse(y)[0])[0], y, rtol=1e-9, atol=1e-9)


@each_bijection
def test_what_comes_back_does_not_move_with_the_parameters(make, x):
    """f(f^-1(y)) = y for all parameters: the gradient through the inverse cancels that of the map."""
    bijection = nudged(make())
    y = bijection(x)[0].detach()
    parameters = list(bijection.parameters())
    if not parameters:
        return
    back, _ = bijection(bijection.inverse(y)[0])
    gradients = torch.autograd.grad((back * normal(*back.shape)).sum(), parameters, materialize_grads=True)
    for gradient in gradients:
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kernel", [Normal(), Logistic()], ids=["gaussians", "logistics"])
def test_a_mixture_starts_at_the_quantiles_of_the_rows(kernel):
    x = normal(4000, 2).exp()
    bijection = MixtureCDF(2, 20, kernel).double()
    bijection.start(x)
    for j in range(2):
        means = bijection.means[j].detach()
        torch.testing.assert_close(means, x[:, j].quantile((torch.arange(20, dtype=torch.float64) + 0.5) / 20))
    u = bijection.log_cdf(x)[0].exp().detach()
    assert stats.kstest(u[:, 0].numpy(), "uniform").statistic < 0.06


def test_a_start_on_rows_that_are_all_the_same_is_finite():
    bijection = MixtureCDF(2, 3, Normal())
    bijection.start(torch.zeros(5, 2))
    assert all(parameter.isfinite().all() for parameter in bijection.parameters())


# Scalar flows

each_pair = pytest.mark.parametrize(("map", "base"), list(product(MAPS, BASES)))


@each_pair
def test_a_density_integrates_to_one(map, base):
    model = scalar_flow(map, base)
    with torch.no_grad():
        y = torch.linspace(-60, 60, 60_001, dtype=torch.float64)[:, None]
        total = model.log_prob(y).exp().sum() * (y[1] - y[0])
    assert abs(total.item() - 1) < 1e-4


@each_pair
def test_the_likelihood_is_that_of_the_map_onto_the_base(map, base):
    """log p_Z(f(x)) + log |det df/dx|, through the squash that the likelihood itself leaves out."""
    model, x = scalar_flow(map, base, D=2), normal(20, 2)
    z, log_det = model.bijection(x)
    torch.testing.assert_close(model.base.log_density(z) + log_det, model.log_density(x), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(model.encode(x), z)
    if base in ("uniform", "beta"):
        assert z.min() > 0
        assert z.max() < 1


@each_pair
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_scores_and_their_gradients_are_finite_a_thousand_scales_out(map, base, dtype):
    model = scalar_flow(map, base).to(dtype)
    x = torch.tensor([[-1e3], [-30.0], [0.0], [30.0], [1e3]], dtype=dtype)
    value = model.log_prob(x)
    assert value.isfinite().all()
    assert model.encode(x).isfinite().all()
    assert model.decode(model.encode(x)).isfinite().all(), "z was rounded to the end of the base"
    for gradient in torch.autograd.grad(value.sum(), list(model.parameters())):
        assert gradient.isfinite().all()


@each_pair
def test_gradients_reach_every_parameter(map, base):
    model = scalar_flow(map, base, D=2)
    loss = model.loss(normal(50, 2), NOISE).value
    for gradient in torch.autograd.grad(loss, list(model.parameters())):
        assert (gradient.abs().amax(dim=1) > 0).all()


@each_pair
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-3)], ids=str)
def test_forward_undoes_inverse_on_draws_from_the_base(map, base, dtype, tolerance):
    model = scalar_flow(map, base, D=3).to(dtype)
    z = model.base.from_normal(normal(200, 3).to(dtype))
    y, _ = model.bijection.inverse(z)
    assert y.isfinite().all()
    torch.testing.assert_close(model.bijection(y)[0], z, rtol=tolerance, atol=tolerance)


@each_pair
def test_draws_follow_the_model_and_decode_undoes_encode(map, base):
    model = scalar_flow(map, base)
    x = model.sample(500, NOISE)
    assert x.isfinite().all()
    u = torch.exp(model.base.log_cdf(model.encode(x))[0]).detach()[:, 0]
    assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-3
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=1e-7, atol=1e-7)
    n = NOISE.normal("flow.z", (500, 1), like=x)
    torch.testing.assert_close(model.decode(model.base.from_normal(n)), x, rtol=1e-7, atol=1e-7)


def test_under_the_uniform_base_the_flow_is_the_mixtures_density():
    model = scalar_flow("gaussians", "uniform")
    x = normal(30, 1)
    mixture = model.line.parts[-1]
    torch.testing.assert_close(model.log_density(x), mixture.log_pdf(x).sum(1), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(model.bijection(x)[0], mixture.log_cdf(x)[0].exp())


def test_the_spline_starts_as_the_identity():
    x = 3 + 2 * normal(40, 2)
    model = ScalarFlow([2], None, map="spline", base="normal", components=8).double()
    model.warm_start(x, NOISE)
    torch.testing.assert_close(model.encode(x), (x - x.mean(0)) / x.std(0, correction=0), rtol=1e-6, atol=1e-6)


# Universality


@pytest.mark.parametrize("base", BASES)
def test_universality(base):
    """z = F_Z^-1(F_X(x)) to 1e-6 within the central 1 - 1e-6 of the mass, against scipy; log p is the mixture's."""
    truth = MIXTURES["gmm_1d"]
    model = UniversalFlow([1], None, base=base, components=3).double()
    mixture = model.line.parts[1]
    with torch.no_grad():
        mixture.logits.copy_(torch.from_numpy(np.log(truth.weights))[None])
        mixture.means.copy_(torch.from_numpy(truth.means).T)
        log_scales = torch.from_numpy(np.log(truth.factors[:, 0, 0]))[None]
        mixture.raw_log_scales.copy_(7 * torch.atanh(log_scales / 7))
    x = torch.linspace(-5.6, 4.0, 1001, dtype=torch.float64)[:, None]
    t = (x.numpy() - truth.means.T) / truth.factors[:, 0, 0]
    lower, upper = stats.norm.cdf(t) @ truth.weights, stats.norm.sf(t) @ truth.weights
    assert lower[0] < 5e-7
    assert upper[-1] < 5e-7
    exact = np.where(lower < upper, REFERENCES[base].ppf(lower), REFERENCES[base].isf(upper))
    torch.testing.assert_close(model.encode(x)[:, 0], torch.from_numpy(exact), rtol=0, atol=1e-6)
    log_p = torch.from_numpy(truth.log_density(x.numpy()))
    torch.testing.assert_close(model.log_prob(x), log_p, rtol=1e-6, atol=1e-6)
    z, log_det = model.bijection(x)
    torch.testing.assert_close(model.base.log_density(z) + log_det, log_p, rtol=1e-6, atol=1e-6)
    far = torch.tensor([[-1e3], [-40.0], [40.0], [1e3]], dtype=torch.float64)
    assert model.encode(far).isfinite().all()
    torch.testing.assert_close(model.log_prob(far), torch.from_numpy(truth.log_density(far.numpy())), rtol=1e-6, atol=0)


@pytest.mark.parametrize("base", BASES)
def test_the_gradient_of_the_universal_flow_is_that_of_the_mixtures_density(base):
    model, x = nudged(UniversalFlow([2], None, base=base, components=4)), normal(30, 2)
    found = torch.autograd.grad(model.log_density(x).sum(), list(model.parameters()))
    expected = torch.autograd.grad(model.line.parts[1].log_pdf(x).sum(), list(model.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


# Training


@pytest.mark.parametrize(("map", "base"), [("gaussians", "uniform"), ("logistics", "beta"), ("spline", "normal")])
def test_training_comes_near_the_true_density(map, base):
    truth = MIXTURES["bimodal"]
    x = torch.from_numpy(truth.draw(Noise(1), rows=600).x)
    model = ScalarFlow([1], None, map=map, base=base, components=8)
    model.warm_start(x, NOISE)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-2)
    for step in range(150):
        optimiser.zero_grad()
        model.loss(x, NOISE.at(step)).value.backward()
        optimiser.step()
    gap = torch.from_numpy(truth.log_density(x.numpy())).mean() - model.log_prob(x).mean()
    gaussian = torch.distributions.Normal(x.mean(), x.std()).log_prob(x).mean()
    assert gap < 0.05
    assert model.log_prob(x).mean() > gaussian + 0.4


def sample_of_a_gaussian() -> torch.Tensor:
    """200 rows of 4 correlated coordinates of different widths, off centre."""
    mixing = torch.tensor([[1.0, 0, 0, 0], [0.8, 0.3, 0, 0], [-2, 1, 3, 0], [0.1, -0.2, 0.3, 0.5]], dtype=torch.float64)
    return normal(200, 4) @ mixing.T + torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


def test_maximum_likelihood_finds_the_mean_and_covariance_from_a_random_start():
    x = sample_of_a_gaussian()
    model = nudged(AffineFlow([4], None))  # no warm start: the scale of the data is unknown to it
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(300):
        optimiser.zero_grad()
        model.loss(x, NOISE).value.backward()
        optimiser.step()
    polish = torch.optim.LBFGS(
        model.parameters(), max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-10, tolerance_change=0
    )

    def closure():
        polish.zero_grad()
        nats = model.loss(x, NOISE).value
        nats.backward()
        return nats

    polish.step(closure)
    mean, covariance = x.mean(0), torch.cov(x.T, correction=0)
    best = -0.5 * (torch.linalg.slogdet(2 * math.pi * covariance).logabsdet + 4)
    affine = model.bijection.parts[1]
    A = affine.matrix()
    assert abs(model.log_prob(x).mean() - best) < 1e-6
    torch.testing.assert_close(affine.b.detach(), mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close((A @ A.T).detach(), covariance, rtol=1e-3, atol=1e-3)


def test_an_affine_flow_is_the_gaussian_of_its_matrix():
    model, x = nudged(AffineFlow([4], None)), normal(9, 4)
    affine = model.bijection.parts[1]
    A = affine.matrix()
    exact = torch.distributions.MultivariateNormal(affine.b, A @ A.T)
    torch.testing.assert_close(model.log_prob(x), exact.log_prob(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(affine(x)[0], torch.linalg.solve(A, (x - affine.b).T).T, rtol=1e-9, atol=1e-9)
    assert A.triu(1).abs().max() > 0.01, "not only triangular matrices"


def test_the_covariance_of_an_affine_flow_goes_with_the_square_of_the_temperature():
    model = nudged(AffineFlow([4], None))
    hot, cold = model.sample(200, NOISE), model.sample_at(200, NOISE, 0.7)
    torch.testing.assert_close(torch.cov(cold.T), 0.7**2 * torch.cov(hot.T), rtol=1e-9, atol=1e-9)


def test_a_composition_of_affine_maps_is_affine():
    both = Compose([nudged(AffineMap(3)), nudged(AffineMap(3), scale=0.2)])
    first, second = both.parts
    A = first.matrix() @ second.matrix()
    b = first.matrix() @ second.b + first.b
    x = normal(8, 3)
    y, log_det = both(x)
    torch.testing.assert_close(y, torch.linalg.solve(A, (x - b).T).T, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_det, -torch.linalg.slogdet(A).logabsdet.expand(8), rtol=1e-9, atol=1e-9)


def test_an_affine_flow_starts_as_the_identity():
    x = 3 + 2 * normal(40, 3)
    model = AffineFlow([3], None).double()
    model.warm_start(x, NOISE)
    torch.testing.assert_close(model.encode(x), (x - x.mean(0)) / x.std(0, correction=0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"map": "gaussian", "base": "normal", "components": 3}, "did you mean 'gaussians'"),
        ({"map": "gaussians", "base": "betta", "components": 3}, "did you mean 'beta'"),
        ({"map": "gaussians", "base": "normal", "components": 0}, "components = 0"),
        ({"map": "spline", "base": "normal", "components": 1}, "components = 1"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ScalarFlow([1], None, **arguments)
