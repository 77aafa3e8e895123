"""Laws of importance sampling on the linear-Gaussian model: variances in closed form, q fitted to each row, gaps."""

import math
from itertools import pairwise

import pytest
import torch
from torch.distributions import MultivariateNormal

from gen_models.analysis.ais import annealed_evidence, hamiltonian_step, sigmoid_path
from gen_models.analysis.inference import elbo_of, encoder_q, evidence, fit_q, gaps, prior_q
from gen_models.autoencoders.iwae import IWAE
from gen_models.autoencoders.vae import VAE
from gen_models.errors import ConfigError
from gen_models.noise import Noise
from tests.linear_gaussian import exact_evidence, exact_posterior, linear_vae, normal, pieces, set_encoder

NOISE = Noise(seed=29)


def orthogonal(sigma: float = 0.6) -> VAE:
    """Columns of W at right angles: the posterior is diagonal, and the encoder knows it."""
    model = linear_vae(torch.linalg.qr(normal(4, 2)).Q * torch.tensor([2.0, 0.7]), sigma)
    W, _, v = pieces(model)
    precision = W.square().sum(0) / v + 1
    set_encoder(model, W.T / v / precision[:, None], 1 / precision)
    return model


def skewed(sigma: float = 0.6) -> VAE:
    """W turned: the posterior's latents are correlated, and no diagonal q is exact."""
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    return linear_vae(pieces(orthogonal())[0] @ turn, sigma)


def rows(model: VAE, n: int = 20) -> torch.Tensor:
    return model.sample(n, Noise(1)).detach()


def relative_variance_of_prior_samples(model: VAE, y: torch.Tensor) -> torch.Tensor:
    """E p(y|z)^2 / p(y)^2 - 1, where p(y|z)^2 = (4 pi sigma^2)^(-n/2) N(y; Wz + b, sigma^2/2 I)."""
    W, b, v = pieces(model)
    half = MultivariateNormal(b, W @ W.T + v / 2 * torch.eye(len(b), dtype=W.dtype))
    log_square = half.log_prob(y) - len(b) / 2 * math.log(4 * math.pi * v)
    return (log_square - 2 * exact_evidence(model).log_prob(y)).exp() - 1


def test_rows_in_float64_are_those_of_a_model_in_float32():
    """A table with numbers that 32 bits cannot hold apart is stored so; the model computes in its own type."""
    model = VAE([4], [None] * 4, latent=2, hidden=[8], sigma=0.6).eval()
    x = normal(20, 4).float()
    asked = (
        lambda y: evidence(model, y, prior_q(model, y), NOISE, samples=50).log_p,
        lambda y: evidence(model, y, encoder_q(model, y, NOISE), NOISE, samples=50).log_p,
        lambda y: elbo_of(model, y, fit_q(model, y, prior_q(model, y), NOISE, steps=3), NOISE, samples=4),
        lambda y: annealed_evidence(model, y, NOISE, temperatures=4, chains=4, leapfrogs=2).log_p,
    )
    for ask in asked:
        torch.testing.assert_close(ask(x.double()), ask(x))


# Importance sampling


def test_samples_of_the_prior_have_the_variance_of_the_closed_form():
    model = skewed(sigma=1.5)
    y = rows(model)
    found = evidence(model, y, prior_q(model, y), NOISE, samples=40_000)
    exact = relative_variance_of_prior_samples(model, y)
    torch.testing.assert_close(found.relative_variance, exact, rtol=0.15, atol=0)
    error = (exact / 40_000).sqrt()
    assert ((found.log_p - exact_evidence(model).log_prob(y)).abs() < 4.5 * error).all()


def test_samples_of_the_posterior_have_no_variance():
    model = orthogonal()
    y = rows(model)
    found = evidence(model, y, encoder_q(model, y, NOISE), NOISE, samples=3)
    torch.testing.assert_close(found.log_p, exact_evidence(model).log_prob(y), rtol=1e-8, atol=1e-8)
    assert found.relative_variance.max() < 1e-16


def test_the_variance_of_prior_samples_worsens_with_the_dimension():
    """The chapter's words; here it is a product of a factor above 1 for each latent."""
    variances = []
    for r in (1, 2, 4, 8):
        model = linear_vae(torch.eye(8, dtype=torch.float64)[:, :r], sigma=0.5)
        y = exact_evidence(model).mean.expand(1, 8)
        variances.append(relative_variance_of_prior_samples(model, y).item())
    ratios = [(1 + b) / (1 + a) ** 2 for a, b in pairwise(variances)]
    assert ratios == pytest.approx([1, 1, 1])
    assert variances[0] > 0.5


def test_a_better_q_has_less_variance():
    model = skewed(sigma=1.0)
    y = rows(model)
    fitted = fit_q(model, y, prior_q(model, y), NOISE)
    prior, local = (evidence(model, y, q, NOISE, samples=2000) for q in (prior_q(model, y), fitted))
    assert local.relative_variance.mean() < 0.5 * prior.relative_variance.mean()


# Inference for each row


@pytest.mark.parametrize("start", ["encoder", "prior"])
def test_the_fitted_q_is_the_nearest_diagonal_gaussian_to_the_posterior(start):
    """min over diagonal q of KL(q || N(m, P^-1)) is at mean m and variances 1/P_ii."""
    model = skewed()
    set_encoder(model, torch.full((2, 4), 0.1, dtype=torch.float64), torch.tensor([0.3, 2.0], dtype=torch.float64))
    y = rows(model)
    q = encoder_q(model, y, NOISE) if start == "encoder" else prior_q(model, y)
    mu, log_var = fit_q(model, y, q, NOISE, steps=600, rate=0.1, samples=16)
    posterior = exact_posterior(model, y)
    exact = -posterior.precision_matrix.diagonal(dim1=-2, dim2=-1).log()
    for found, expected in ((mu, posterior.mean), (log_var, exact.expand_as(log_var))):
        torch.testing.assert_close(found, expected, rtol=0, atol=0.1)  # Adam's last steps leave some noise
        torch.testing.assert_close(found.mean(0), expected.mean(0), rtol=0, atol=0.025)


def test_a_fit_that_starts_at_the_prior_comes_within_a_tenth_of_a_nat_of_the_best_q():
    """log p - ELBO(best diagonal q) is 1/2 (sum log P_ii - log det P): 64 dimensions, 16 latents, a small sigma."""
    model = linear_vae(normal(64, 16), sigma=0.1)
    y = rows(model, 16)
    precision = exact_posterior(model, y[:1]).precision_matrix[0]
    best = exact_evidence(model).log_prob(y) - 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    found = elbo_of(model, y, fit_q(model, y, prior_q(model, y), NOISE), NOISE, samples=4000)
    assert (best - found).mean() < 0.1


def test_no_row_ends_below_its_start():
    model = skewed()
    y = rows(model, 12)
    start = encoder_q(model, y, NOISE)
    after = fit_q(model, y, start, NOISE, steps=2, rate=50.0)  # a rate that throws rows far away
    kept = (after[0] == start[0]).all(dim=1)
    assert kept.any()
    before, ended = (elbo_of(model, y, q, NOISE, samples=2000) for q in (start, after))
    assert (ended >= before - 0.1).all()


def test_rows_are_fitted_each_by_itself():
    model = skewed()
    y, shared = rows(model, 6), NOISE.shared()
    whole = fit_q(model, y, prior_q(model, y), shared, steps=30)
    parts = [fit_q(model, part, prior_q(model, part), shared, steps=30) for part in y.split([1, 5])]
    for moment, pieces_of_it in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(pieces_of_it), moment, rtol=1e-10, atol=1e-12)


def test_fitting_leaves_the_model_and_its_gradients_untouched():
    model = skewed()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit_q(model, rows(model), prior_q(model, rows(model)), NOISE, steps=3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_bound_of_a_given_q_is_the_closed_form():
    """log p - ELBO(q) = KL(q || p(z|y)), for a q that is neither the prior nor the posterior."""
    model = skewed()
    y = rows(model, 5)
    q = normal(5, 2, seed=3), 0.3 * normal(5, 2, seed=4)
    draws = torch.stack([elbo_of(model, y, q, NOISE.at(step), samples=200) for step in range(30)])
    own = MultivariateNormal(q[0], torch.diag_embed(q[1].exp()))
    exact = exact_evidence(model).log_prob(y) - torch.distributions.kl_divergence(own, exact_posterior(model, y))
    assert ((draws.mean(0) - exact).abs() < 4 * draws.std(0) / math.sqrt(30)).all()


def test_both_gaps_are_0_where_the_encoder_is_the_posterior():
    model = orthogonal()
    y = rows(model)
    found = gaps(model, y, exact_evidence(model).log_prob(y), NOISE, steps=50, samples=2000)
    assert (found.amortisation >= 0).all()
    assert found.amortisation.max() < 0.02
    assert found.approximation.abs().max() < 0.2  # draws of log p(y|z) with the KL in closed form do spread
    assert found.approximation.mean().abs() < 0.03


def test_gaps_where_the_encoder_is_wrong_and_the_posterior_is_not_diagonal():
    """The approximation gap is 1/2 (sum log P_ii - log det P), the same for every row."""
    model = skewed()
    set_encoder(model, torch.full((2, 4), 0.1, dtype=torch.float64), torch.tensor([0.3, 2.0], dtype=torch.float64))
    y = rows(model)
    found = gaps(model, y, exact_evidence(model).log_prob(y), NOISE, steps=500, rate=0.1, samples=2000)
    precision = exact_posterior(model, y[:1]).precision_matrix[0]
    exact = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    assert exact > 0.1
    assert found.approximation.mean().item() == pytest.approx(exact.item(), abs=0.03)
    assert (found.amortisation > 0.05).all()


# Annealed importance sampling


def test_annealing_finds_the_evidence():
    model = skewed()
    y = rows(model, 8)
    found = annealed_evidence(model, y, NOISE, temperatures=150, chains=24, leapfrogs=5)
    error = found.log_p - exact_evidence(model).log_prob(y)
    assert error.abs().max() < 0.25
    assert error.mean().abs() < 0.06
    assert found.accepted.min() > 0.3
    assert found.accepted.max() < 0.97


def test_annealed_weights_have_the_evidence_as_their_mean_even_when_the_path_is_short():
    """Unbiased for p, not for log p: the mean over many chains of few temperatures is the evidence."""
    model = skewed(sigma=1.0)
    y = rows(model, 4)
    found = annealed_evidence(model, y, NOISE, temperatures=4, chains=8000, leapfrogs=2)
    torch.testing.assert_close(found.log_p, exact_evidence(model).log_prob(y), rtol=0, atol=0.06)


def test_annealing_beats_samples_of_the_prior():
    model = linear_vae(normal(12, 6), sigma=0.2)
    y = rows(model, 10)
    exact = exact_evidence(model).log_prob(y)
    annealed = annealed_evidence(model, y, NOISE, temperatures=200, chains=8, leapfrogs=5).log_p
    prior = evidence(model, y, prior_q(model, y), NOISE, samples=200 * 8 * 5 * 2).log_p  # as many decodings
    assert (annealed - exact).abs().mean() < 0.1 * (prior - exact).abs().mean()


def test_a_hamiltonian_step_leaves_its_target_invariant():
    """Draws of N(0, diag(1, 4)) remain such, at a step so long that a third is refused."""
    spread = torch.tensor([1.0, 2.0], dtype=torch.float64)
    z = spread * normal(1, 20_000, 2)

    def log_density(z):
        return -0.5 * (z / spread).square().sum(dim=2)

    accepted = []
    for step in range(5):
        momentum = normal(1, 20_000, 2, seed=50 + step)
        uniform = NOISE.at(step).uniform("accept", (1, 20_000), like=z)
        z, is_accepted = hamiltonian_step(z, log_density, z.new_tensor([1.55]), momentum, uniform, 3)
        accepted.append(is_accepted.double().mean().item())
    assert min(accepted) > 0.3
    assert max(accepted) < 0.95
    torch.testing.assert_close(z[0].mean(0), torch.zeros_like(spread), rtol=0, atol=0.06)
    torch.testing.assert_close(torch.cov(z[0].T), torch.diag(spread.square()), rtol=0, atol=0.15)


def test_the_path_goes_from_0_to_1_and_never_back():
    path = sigmoid_path(30)
    assert path[0] == 0
    assert path[-1] == 1
    assert path.diff().min() > 0


def test_two_layers_of_latents_are_refused_in_one_line():
    model = IWAE([4], None, latents=[3, 2], hidden=[[], []], samples=1).double()
    y = normal(2, 4)
    for call in (lambda: annealed_evidence(model, y, NOISE), lambda: encoder_q(model, y, NOISE)):
        with pytest.raises(ConfigError, match=r"latents = \[3, 2\]"):
            call()
