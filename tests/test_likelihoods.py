"""Laws of p(y|z): torch's own densities, variances that are where they are best, pixels drawn by their grey."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal

from gen_models.autoencoders.likelihoods import (
    CELL_VARIANCES,
    MIN_SIGMA,
    BernoulliLikelihood,
    DiscretisedLikelihood,
    GaussianLikelihood,
)
from gen_models.autoencoders.vae import VAE
from gen_models.errors import ConfigError
from gen_models.layers.binarisation import Binarisation
from gen_models.noise import Noise

NOISE = Noise(seed=21)


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Cells of grey levels


def levels_of(likelihood: DiscretisedLikelihood, f: torch.Tensor) -> torch.Tensor:
    """log P(level|f) for each level, (levels, rows), of rows of one number."""
    q = likelihood.levels
    middles = (torch.arange(q, dtype=f.dtype) + 0.5) / q
    return torch.stack([likelihood.log_prob(y.expand_as(f), f) for y in middles])


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("sigma", [0.002, 0.1, 5.0])
def test_the_levels_probabilities_sum_to_one_and_are_differences_of_a_normal_cdf(levels, sigma):
    likelihood = DiscretisedLikelihood(1, levels, sigma=sigma, variance="fixed").double()
    f = torch.linspace(-0.5, 1.5, 31, dtype=torch.float64)[:, None]
    found = levels_of(likelihood, f)
    torch.testing.assert_close(found.exp().sum(dim=0), torch.ones(31, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    edges = torch.arange(1, levels, dtype=torch.float64)[:, None] / levels
    cdf = torch.cat([torch.zeros(1, 31), Normal(f[:, 0], likelihood.std()).cdf(edges), torch.ones(1, 31)])
    torch.testing.assert_close(found.exp(), cdf.diff(dim=0), rtol=1e-6, atol=1e-9)
    mean = (found.exp() * (torch.arange(levels)[:, None] + 0.5) / levels).sum(dim=0)
    torch.testing.assert_close(likelihood.mean(f)[:, 0], mean, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("sigma", [0.002, 5.0])
def test_a_level_far_from_f_keeps_a_finite_probability_and_gradient_in_float32(sigma):
    likelihood = DiscretisedLikelihood(1, 256, sigma=sigma, variance="learned")
    y, f = ((37 * torch.arange(500) % 256 + 0.5) / 256)[:, None], torch.linspace(-3, 4, 500)[:, None].requires_grad_()
    found = likelihood.log_prob(y, f)
    found.sum().backward()
    assert found.isfinite().all() and f.grad.isfinite().all() and likelihood.log_sigma.grad.isfinite().all()


@pytest.mark.parametrize("variance", CELL_VARIANCES)
def test_draws_on_cells_have_the_levels_probabilities(variance):
    model = VAE([1, 1, 1], 9, latent=1, hidden=[], likelihood="discretised", sigma=0.3, variance=variance).double()
    f = torch.full((40_000, 1), 0.8, dtype=torch.float64)
    drawn = model.data_scale.quantise(model.likelihood.draw(f, NOISE)[:, :, None, None]).flatten()
    expected = levels_of(model.likelihood, f[:1]).exp()[:, 0]
    shares = torch.bincount(drawn.long(), minlength=9) / len(drawn)
    assert ((shares - expected).abs() < 4.5 * (expected * (1 - expected) / len(drawn)).sqrt() + 1e-9).all()


def test_a_discretised_likelihood_learns_each_pixel_s_sigma_and_needs_levels():
    assert VAE([1, 2, 2], 9, latent=1, hidden=[], likelihood="discretised", variance="per_pixel").sigma.shape == (4,)
    with pytest.raises(ConfigError, match="needs data on grey levels"):
        VAE([2], None, latent=1, hidden=[], likelihood="discretised")


# Gaussian


@pytest.mark.parametrize("variance", ["fixed", "learned", "optimal"])
def test_a_variance_starts_at_sigma(variance):
    likelihood, y, f = GaussianLikelihood(0.3, variance).double().eval(), normal(5, 3), normal(5, 3, seed=7)
    torch.testing.assert_close(likelihood.log_prob(y, f), Normal(f, 0.3).log_prob(y).sum(1), rtol=1e-6, atol=1e-6)
    draws = likelihood.draw(torch.zeros(20_000, 3, dtype=torch.float64), NOISE)
    assert draws.std().item() == pytest.approx(0.3, rel=0.02)


def test_a_learned_variance_descends_to_the_mean_squared_error_and_an_optimal_one_is_there():
    y, f = normal(50, 3), normal(50, 3, seed=7)
    best = (y - f).square().mean().item()
    learned, optimal = (GaussianLikelihood(0.3, variance).double().train() for variance in ("learned", "optimal"))
    optimiser = torch.optim.Adam(learned.parameters(), lr=0.1)
    for _ in range(800):
        optimiser.zero_grad()
        (-learned.log_prob(y, f).mean()).backward()
        optimiser.step()
    assert learned.log_var().exp().item() == pytest.approx(best, rel=1e-3)
    expected = Normal(f, math.sqrt(best)).log_prob(y).sum(1)
    torch.testing.assert_close(optimal.log_prob(y, f), expected)
    for _ in range(100):
        optimal.log_prob(y, f)
    assert optimal.eval().log_var().exp().item() == pytest.approx(best, rel=1e-3)


def test_holding_an_optimal_variance_fixed_changes_no_gradient():
    """Of n/2 log MSE, which is what is left of the loss there, up to a constant."""
    y, f = normal(50, 3), normal(50, 3, seed=7).requires_grad_()
    held = torch.autograd.grad(-GaussianLikelihood(0.3, "optimal").double().log_prob(y, f).sum(), f)[0]
    whole = torch.autograd.grad(0.5 * y.numel() * (y - f).square().mean().log(), f)[0]
    torch.testing.assert_close(held, whole)


@pytest.mark.parametrize("variance", ["learned", "optimal"])
def test_a_variance_has_a_floor_and_stays_finite_where_all_is_explained(variance):
    likelihood, y = GaussianLikelihood(0.01, variance).double().train(), normal(50, 3)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True), *likelihood.parameters()], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        loss = -likelihood.log_prob(y, y.clone().requires_grad_()).mean()
        loss.backward()
        optimiser.step()
    assert loss.isfinite()
    assert likelihood.eval().log_var().item() >= 2 * math.log(MIN_SIGMA) - 1e-6


@pytest.mark.parametrize("variance", ["fixed", "learned", "optimal"])
def test_a_model_tells_the_sigma_that_its_density_has(variance):
    torch.manual_seed(0)
    model = VAE([3], None, latent=2, hidden=[], sigma=0.3, variance=variance).double().eval()
    with torch.no_grad():
        for parameter in model.likelihood.parameters():
            parameter += 1
        y, f = normal(5, 3), normal(5, 3, seed=7)
        torch.testing.assert_close(model.likelihood.log_prob(y, f), Normal(f, model.sigma).log_prob(y).sum(1))
    assert not hasattr(bernoulli_vae([3]), "sigma")


# Bernoulli


def test_bernoulli_log_prob_is_torchs_for_logits_of_any_size():
    y, f = (normal(5, 3) > 0).double(), 300 * normal(5, 3, seed=7)
    likelihood = BernoulliLikelihood(3).double()
    torch.testing.assert_close(likelihood.log_prob(y, f), Bernoulli(logits=f).log_prob(y).sum(1))
    assert likelihood.log_prob(y, f).isfinite().all()


def test_bernoulli_probabilities_of_all_images_sum_to_one():
    images = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
    likelihood, f = BernoulliLikelihood(4).double(), normal(4).expand(16, 4)
    assert likelihood.log_prob(images, f).exp().sum().item() == pytest.approx(1)


def test_pixels_begin_at_their_mean_and_one_that_never_has_ink_stays_finite():
    x = torch.randint(0, 17, (300, 1, 2, 2), generator=torch.Generator().manual_seed(0)).double()
    x[:, :, 0, 0] = 0
    model = bernoulli_vae([1, 2, 2])
    model.warm_start(x, NOISE)
    mean = model.likelihood.mean(torch.zeros(1, 4, dtype=torch.float64)).unflatten(1, (1, 2, 2))
    torch.testing.assert_close(mean[0], x.mean(0) / 16, rtol=0, atol=0.5 / 301)
    assert model.elbo(x, NOISE).isfinite().all()


def test_binarised_pixels_have_their_grey_as_mean_and_change_with_the_step():
    scale = Binarisation([3], 5)
    x = torch.tensor([0.0, 1.0, 4.0]).expand(20_000, 3)
    y = scale(x, NOISE)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(y.mean(0), torch.tensor([0.0, 0.25, 1.0]), rtol=0, atol=0.015)
    assert not torch.equal(scale(x, NOISE.at(1)), y)
    assert torch.equal(scale(x, NOISE), y)


def test_two_levels_are_binary_as_they_are():
    scale, x = Binarisation([3], 2), (normal(50, 3) > 0).double()
    for step in range(5):
        assert torch.equal(scale(x, NOISE.at(step)), x)


def test_scores_share_their_thresholds():
    """Equal rows get equal scores, whatever stands beside them; with noise of their own they would not."""
    model = bernoulli_vae([3])
    x = torch.full((4, 3), 8.0, dtype=torch.float64)
    shared = model.elbo(x, NOISE.shared())
    torch.testing.assert_close(shared, shared[0].expand(4))
    assert model.elbo(x, NOISE).std() > 1e-3


def test_bernoulli_loss_by_hand():
    """f = 0, mu = 0, log_var = 0: each of 3 pixels costs log 2 whatever it shows, and the KL is 0."""
    model = bernoulli_vae([3])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    loss = model.loss(torch.tensor([[0.0, 7.0, 16.0]], dtype=torch.float64), NOISE)
    assert loss.value.item() == pytest.approx(3 * math.log(2))
    assert loss.terms["rate_nats"].item() == 0
    assert loss.terms["distortion_mse"].item() == pytest.approx(0.25)


def bernoulli_vae(event_shape: list[int]) -> VAE:
    torch.manual_seed(0)
    return VAE(event_shape, 17, latent=2, hidden=[8], likelihood="bernoulli").double().eval()


@pytest.mark.parametrize(
    ("levels", "arguments", "message"),
    [
        (None, {"likelihood": "bernoulli"}, "levels = null cannot be binarised"),
        (17, {"likelihood": "bernouli"}, "did you mean 'bernoulli'"),
        (None, {"variance": "learnt"}, "did you mean 'learned'"),
        (None, {"variance": "learned", "sigma": 1e-4}, "sigma = 0.0001 cannot be used: where it is learned"),
    ],
)
def test_what_cannot_be_built_says_why(levels, arguments, message):
    with pytest.raises(ConfigError, match=message) as raised:
        VAE([4], levels, latent=2, hidden=[], **arguments)
    assert "\n" not in str(raised.value)
