"""Laws of the f-divergences, their conjugates, and the bound that the f-GAN plays for."""

import math

import pytest
import torch

from gen_models.adversarial.divergences import DIVERGENCES
from gen_models.adversarial.f_gan import FGAN, VariationalLosses
from gen_models.adversarial.gan_losses import GANLosses
from gen_models.errors import ConfigError
from tests.tables import NOISE, best_critic, cells, shares

LOG_4 = math.log(4)
EDGE = {"reverse_kl": 0.0, "squared_hellinger": 1.0, "js": 0.0, "total_variation": 0.5}  # of the domain of f*
SMOOTH = [name for name in DIVERGENCES if name != "total_variation"]
R = torch.linspace(-6, 6, 25, dtype=torch.float64)
U = torch.cat([torch.zeros(1), torch.logspace(-9, 6, 60001)]).double()

each_divergence = pytest.mark.parametrize("name", DIVERGENCES)
each_smooth = pytest.mark.parametrize("name", SMOOTH)


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inside_the_domain(name: str) -> torch.Tensor:
    return torch.linspace(-5, EDGE.get(name, 3.0) - 0.05, 30, dtype=torch.float64)


# Conjugates


@each_divergence
def test_f_is_convex_0_at_1_and_infinite_below_0(name):
    f = DIVERGENCES[name].f
    u = torch.linspace(0.01, 5, 200, dtype=torch.float64)
    assert (f(u)[2:] - 2 * f(u)[1:-1] + f(u)[:-2] >= -1e-12).all()
    assert f(torch.ones(1, dtype=torch.float64)).abs() < 1e-12
    assert f(torch.tensor([-1e-9, -3.0])).isposinf().all()


@each_divergence
def test_the_slope_is_the_derivative_of_f_and_at_one_its_value_at_1(name):
    d = DIVERGENCES[name]
    u = torch.tensor([0.1, 0.7, 1.3, 4.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(d.f(u).sum(), u)
    torch.testing.assert_close(d.slope(u.detach()), slope)
    assert d.slope(torch.ones(1, dtype=torch.float64)).item() == pytest.approx(d.at_one, abs=1e-12)


@each_divergence
def test_the_conjugate_is_the_supremum_inside_its_domain(name):
    d, t = DIVERGENCES[name], inside_the_domain(name)
    supremum = (t[:, None] * U - d.f(U)).amax(dim=1)
    torch.testing.assert_close(d.conjugate(t), supremum, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", EDGE)
def test_the_conjugate_is_infinite_outside_its_domain_where_the_supremum_is(name):
    d = DIVERGENCES[name]
    outside = EDGE[name] + torch.tensor([0.0 if name != "total_variation" else 0.01, 0.5, 2.0], dtype=torch.float64)
    assert d.conjugate(outside).isposinf().all()
    near, far = (outside[:, None] * u - d.f(u) for u in torch.tensor([[1e6], [1e12]], dtype=torch.float64))
    assert (far > near + 5).all()


@each_divergence
def test_fenchel_young(name):
    """f(u) + f*(t) >= t u, with equality at t = f'(u)."""
    d, t, u = DIVERGENCES[name], inside_the_domain(name), torch.logspace(-3, 2, 80).double()
    assert (d.f(u) + d.conjugate(t)[:, None] - t[:, None] * u >= -1e-12).all()
    at = d.slope(u)
    torch.testing.assert_close(d.f(u) + d.conjugate(at), at * u, rtol=1e-9, atol=1e-9)


@each_divergence
def test_the_conjugate_of_the_conjugate_is_f(name):
    d, u = DIVERGENCES[name], torch.linspace(0.2, 3, 20, dtype=torch.float64)
    t = torch.linspace(-8, EDGE.get(name, 8.0), 160002, dtype=torch.float64)[:-1]
    if name == "total_variation":
        t = torch.cat([t, torch.tensor([0.5], dtype=torch.float64)])
    torch.testing.assert_close((u[:, None] * t - d.conjugate(t)).amax(dim=1), d.f(u), rtol=1e-3, atol=1e-3)


@each_divergence
def test_rho_fills_the_domain_one_to_one_and_the_losses_form_is_the_conjugate_after_it(name):
    d = DIVERGENCES[name]
    torch.testing.assert_close(d.conjugate_of_rho(R), d.conjugate(d.rho(R)), rtol=1e-9, atol=1e-9)
    assert (d.direction * d.rho(R).diff() > 0).all()
    assert d.conjugate(d.rho(R)).isfinite().all()


@each_divergence
def test_the_losses_form_survives_where_the_conjugate_after_rho_does_not(name):
    r = torch.tensor([-60.0, 60.0], requires_grad=True)
    value = DIVERGENCES[name].conjugate_of_rho(r)
    (gradient,) = torch.autograd.grad(value.sum(), r)
    assert value.isfinite().all() and gradient.isfinite().all()


# The bound


P, Q = (0.0, 1.0), (0.7, 1.2)  # mean and standard deviation
X = torch.linspace(-14, 14, 40001, dtype=torch.float64)


def density(mean: float, std: float) -> torch.Tensor:
    return torch.exp(-(((X - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))


def kl(p: tuple[float, float], q: tuple[float, float]) -> float:
    (m, s), (n, t) = p, q
    return math.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5


def squared_hellinger(p: tuple[float, float], q: tuple[float, float]) -> float:
    (m, s), (n, t) = p, q
    return 2 - 2 * math.sqrt(2 * s * t / (s**2 + t**2)) * math.exp(-((m - n) ** 2) / (4 * (s**2 + t**2)))


def pearson(p: tuple[float, float], q: tuple[float, float]) -> float:
    (m, s), (n, t) = p, q
    left = 2 * t**2 - s**2  # above 0, or the integral is infinite
    return t**2 / (s * math.sqrt(left)) * math.exp((m - n) ** 2 / left) - 1


def js(p: tuple[float, float], q: tuple[float, float]) -> float:
    """2 JS, by quadrature."""
    a, b = density(*p), density(*q)
    return torch.trapezoid(a * (2 * a / (a + b)).log() + b * (2 * b / (a + b)).log(), X).item()


def total_variation(p: tuple[float, float], q: tuple[float, float]) -> float:
    return torch.trapezoid((density(*p) - density(*q)).abs() / 2, X).item()


KNOWN = {
    "kl": kl,
    "reverse_kl": lambda p, q: kl(q, p),
    "squared_hellinger": squared_hellinger,
    "js": js,
    "pearson": pearson,
    "total_variation": total_variation,
}


@each_divergence
@pytest.mark.parametrize(("p", "q"), [(P, Q), (Q, P)], ids=["forward", "reverse"])
def test_the_bound_at_its_best_is_the_divergence_of_two_gaussians(name, p, q):
    d, a, b = DIVERGENCES[name], density(*p), density(*q)
    best = d.slope(a / b)
    bound = torch.trapezoid(a * best - b * d.conjugate(best), X).item()
    assert bound == pytest.approx(KNOWN[name](p, q), rel=1e-7)
    assert torch.trapezoid(b * d.f(a / b), X).item() == pytest.approx(KNOWN[name](p, q), rel=1e-7)


@each_divergence
def test_no_other_critic_exceeds_the_divergence(name):
    d, a, b = DIVERGENCES[name], density(*P), density(*Q)
    for seed in range(5):
        slope, curve, offset = normal(3, seed=seed) / 3
        r = offset + slope * X - curve.abs() * X.square() / 10
        inside = X.abs() < 8  # rho may be large where p and q are nothing
        bound = torch.trapezoid((a * d.rho(r) - b * d.conjugate_of_rho(r))[inside], X[inside]).item()
        assert bound <= KNOWN[name](P, Q) + 1e-9


@each_divergence
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_tabular_critic_played_to_the_end_has_the_divergence_as_its_value(name, direction):
    real, fake = cells(4.0, 2.0), cells(6.0, 2.5)
    losses = VariationalLosses(name, direction)
    game = best_critic(losses, real, fake)
    loss = game.critic_loss(real, NOISE)
    p, q = shares(real), shares(fake)
    p, q = (p, q) if direction == "forward" else (q, p)
    exact = (q * DIVERGENCES[name].f(p / q)).sum().item()
    tolerance = 1e-6 if name in SMOOTH else 1e-2  # of total variation the best r is at infinity
    assert loss.terms["divergence"].item() == pytest.approx(exact, rel=tolerance)
    if name in SMOOTH:
        realness = game.criticise(torch.arange(12, dtype=torch.float64)[:, None]).detach()
        ratio = shares(real) / shares(fake)
        assert torch.equal(realness.argsort(), ratio.argsort()), "larger means more real"
        right = (ratio > 1).double()
        assert loss.terms["accuracy_real"].item() == pytest.approx((shares(real) * right).sum().item(), abs=1e-12)
        assert loss.terms["accuracy_fake"].item() == pytest.approx((shares(fake) * (1 - right)).sum().item(), abs=1e-12)


# The losses


def test_reversed_kl_is_reverse_kl():
    """The bounds agree where the critic's outputs differ by 1, as do their best values (above)."""
    real, fake = normal(7), normal(5, seed=1)
    reversed_kl, reverse_kl = VariationalLosses("kl", "reverse"), VariationalLosses("reverse_kl")
    torch.testing.assert_close(
        reversed_kl.critic(real + 1, fake + 1).value, reverse_kl.critic(real, fake).value, rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        reversed_kl.generator(fake + 1).value, reverse_kl.generator(fake).value, rtol=1e-12, atol=1e-12
    )


def test_js_is_the_standard_game_plus_log_4():
    real, fake = normal(7), normal(7, seed=1)
    bound, value = VariationalLosses("js").critic(real, fake).terms, GANLosses().critic(real, fake).terms
    assert bound["divergence"].item() == pytest.approx(value["value"].item() + LOG_4, rel=1e-12)
    assert bound["accuracy_real"] == value["accuracy_real"] and bound["accuracy_fake"] == value["accuracy_fake"]
    ours, theirs = VariationalLosses("js").generator(fake).value, GANLosses().generator(fake).value
    assert ours.item() == pytest.approx(theirs.item() + LOG_4, rel=1e-12)
    ours = VariationalLosses("js", generator_loss="non_saturating").generator(fake).value
    theirs = GANLosses(generator_loss="non_saturating").generator(fake).value
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)


@each_divergence
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_zero_sum_generator_descends_what_the_critic_ascends(name, direction):
    real, first, second = normal(5), normal(5, seed=1), normal(5, seed=2)
    losses = VariationalLosses(name, direction)
    critic = losses.critic(real, first).value - losses.critic(real, second).value
    generator = losses.generator(first).value - losses.generator(second).value
    torch.testing.assert_close(critic, -generator, rtol=1e-10, atol=1e-12)


@each_divergence
@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("generator_loss", ["zero_sum", "non_saturating"])
def test_every_generator_loss_falls_as_a_fake_looks_more_real(name, direction, generator_loss):
    losses = VariationalLosses(name, direction, generator_loss)
    values = torch.stack(
        [losses.generator(losses.sign * r[None]).value for r in R[R.abs() < 2]]
    )  # Pearson is flat below -2
    assert (values.diff() < 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"divergence": "reverse"}, "did you mean 'reverse_kl'"),
        ({"direction": "backward"}, "choose from forward, reverse|did you mean 'forward'"),
        ({"generator_loss": "saturating"}, "did you mean 'non_saturating'"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, message):
    with pytest.raises(ConfigError, match=message) as raised:
        FGAN([2], None, latent=2, hidden=[8], **arguments)
    assert "\n" not in str(raised.value)
