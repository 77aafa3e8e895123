"""Laws of autoencoders: PCA and the linear-Gaussian model as closed forms, bounds in order, beta and sigma one knob."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from gen_models.autoencoders.autoencoder import Autoencoder
from gen_models.autoencoders.gaussian import MAX_LOG_VAR, gaussian_log_density, kl_to_standard_normal
from gen_models.autoencoders.likelihoods import MIN_SIGMA
from gen_models.autoencoders.vae import VAE
from gen_models.errors import ConfigError
from gen_models.noise import Noise

NOISE = Noise(seed=13)


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlated(n: int = 200, dim: int = 4) -> torch.Tensor:
    return normal(n, dim) @ normal(dim, dim, seed=7) + torch.arange(dim)


def seeded_vae(seed: int = 0, **arguments) -> VAE:
    torch.manual_seed(seed)
    return VAE([4], None, **{"latent": 2, "hidden": [8], **arguments}).double()


# Autoencoder


def test_the_loss_sums_over_dimensions_and_averages_over_the_batch():
    """E(y) = y1 + y2, D(z) = (z, 0): rows (1, 2) and (0, 1) leave (-2, 2) and (-1, 1); (8 + 2)/2 = 5."""
    model = Autoencoder([2], None, latent=1, hidden=[]).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.encoder[0].weight.copy_(torch.tensor([[1.0, 1.0]]))
        model.decoder[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
    loss = model.loss(torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64), NOISE)
    assert loss.value.item() == 5.0
    assert loss.terms["mse"].item() == 2.5


def test_a_linear_autoencoder_at_the_principal_components_loses_the_other_eigenvalues():
    x = correlated()
    model = Autoencoder([4], None, latent=2, hidden=[]).double()
    model.warm_start(x, NOISE)
    eigenvalues, vectors = torch.linalg.eigh(torch.cov(model.data_scale.centre(x).T, correction=0))
    with torch.no_grad():
        for part in (model.encoder[0], model.decoder[0]):
            part.bias.zero_()
        model.encoder[0].weight.copy_(vectors[:, 2:].T)
        model.decoder[0].weight.copy_(vectors[:, 2:])
    value = model.loss(x, NOISE).value
    torch.testing.assert_close(value, eigenvalues[:2].sum())
    gradients = torch.autograd.grad(value, list(model.parameters()))
    assert max(gradient.abs().max() for gradient in gradients) < 1e-10, "no direction is downhill"


def test_reconstructions_of_levels_lie_between_the_levels():
    """An autoencoder that is constant at y = 1/2 reconstructs the middle of 0 .. 16, which is 8."""
    model = Autoencoder([1, 2, 2], 17, latent=1, hidden=[]).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.decoder[0].bias.fill_(0.5)
    x = torch.full((3, 1, 2, 2), 5.0, dtype=torch.float64)
    torch.testing.assert_close(model.reconstruct(x), torch.full_like(x, 8.0))


# KL and densities


def test_kl_in_closed_form_is_torchs_and_the_monte_carlo_mean():
    mu, log_var = normal(3, 2), normal(3, 2, seed=8)
    closed = kl_to_standard_normal(mu, log_var)
    q = Normal(mu, (0.5 * log_var).exp())
    torch.testing.assert_close(closed, kl_divergence(q, Normal(torch.zeros_like(mu), 1.0)).sum(1))
    z = mu + (0.5 * log_var).exp() * normal(40_000, 3, 2, seed=9)
    ratios = gaussian_log_density(z, mu, log_var) - gaussian_log_density(z, 0.0, 0.0)
    error = ratios.std(0) / math.sqrt(len(ratios))
    assert ((ratios.mean(0) - closed).abs() < 4 * error).all()


def test_gaussian_log_density_is_torchs():
    y, mean = normal(5, 3), normal(5, 3, seed=10)
    expected = Normal(mean, 0.3).log_prob(y).sum(1)
    torch.testing.assert_close(gaussian_log_density(y, mean, 2 * math.log(0.3)), expected)


def test_the_posterior_variance_is_bounded():
    model = seeded_vae()
    _, log_var = model.posterior(1e6 * normal(50, 4))
    assert log_var.abs().max() <= MAX_LOG_VAR


# The bound


def test_loss_by_hand():
    """f = 0, mu = 0, log_var = 0: KL = 0 and the loss is |y|^2/(2 s^2) + n/2 log(2 pi s^2), a row of (3, 4)."""
    model = VAE([2], None, latent=1, hidden=[], sigma=2.0).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    loss = model.loss(torch.tensor([[3.0, 4.0]], dtype=torch.float64), NOISE)
    expected = 25 / 8 + math.log(2 * math.pi * 4)
    assert loss.value.item() == pytest.approx(expected)
    assert loss.terms["nats"].item() == pytest.approx(expected)
    assert loss.terms["rate_nats"].item() == 0
    assert loss.terms["distortion_mse"].item() == 12.5


def test_the_bound_is_of_the_data_as_stored():
    """Twice the unit of x costs log 2 for each dimension."""
    model, x = seeded_vae(), correlated()
    model.warm_start(x, NOISE)
    nats, elbo = model.loss(x, NOISE).terms["nats"], model.elbo(x, NOISE)
    model.warm_start(2 * x, NOISE)
    torch.testing.assert_close(model.loss(2 * x, NOISE).terms["nats"], nats + 4 * math.log(2))
    torch.testing.assert_close(model.elbo(2 * x, NOISE), elbo - 4 * math.log(2))


def test_beta_and_sigma_are_one_knob():
    """beta-ELBO(beta, sigma) - beta ELBO(1, sigma sqrt(beta)) is the same number for every network."""
    beta, sigma, x = 3.0, 0.7, correlated()
    differences = []
    for seed in range(4):
        with_beta = seeded_vae(seed, beta=beta, sigma=sigma)
        without = seeded_vae(seed, sigma=sigma * math.sqrt(beta))
        differences.append(with_beta.loss(x, NOISE).value - beta * without.loss(x, NOISE).value)
    values = torch.stack(differences)
    n = x.shape[1]
    constant = n / 2 * (math.log(2 * math.pi * sigma**2) - beta * math.log(2 * math.pi * sigma**2 * beta))
    torch.testing.assert_close(values, torch.full_like(values, constant), rtol=1e-9, atol=1e-9)


def test_beta_1_is_the_vae_bit_for_bit():
    """The loss of a model with beta = 1 is minus the bound itself, and so are its gradients."""
    model, x = seeded_vae(beta=1.0), correlated()
    loss = model.loss(x, NOISE)
    assert torch.equal(loss.value, loss.terms["nats"])
    parameters = list(model.parameters())
    ours = torch.autograd.grad(loss.value, parameters, retain_graph=True)
    bound = torch.autograd.grad(loss.terms["nats"], parameters)
    assert all(torch.equal(a, b) for a, b in zip(ours, bound, strict=True))


def test_beta_changes_the_loss_but_not_the_terms():
    x = correlated()
    one, four = (seeded_vae(beta=beta).loss(x, NOISE) for beta in (1.0, 4.0))
    assert one.terms == four.terms
    torch.testing.assert_close(four.value, one.value + 3 * one.terms["rate_nats"])


def test_the_best_sigma_squared_is_the_mean_squared_error():
    model, x = seeded_vae(), correlated()
    best = model.loss(x, NOISE).terms["distortion_mse"].sqrt().item()

    def nats(sigma: float) -> float:
        model.likelihood.sigma = sigma
        return model.loss(x, NOISE).terms["nats"].item()

    assert nats(best) < min(nats(best * 0.99), nats(best * 1.01))


def test_elbo_and_loss_agree_in_expectation():
    """One samples the log-ratio, the other has the KL in closed form."""
    model, x = seeded_vae(), correlated(30)
    elbos = torch.stack([model.elbo(x, NOISE.at(k)).mean() for k in range(400)])
    losses = torch.stack([model.loss(x, NOISE.at(k)).terms["nats"] for k in range(400)])
    both = elbos + losses
    assert both.mean().abs() < 4 * both.std() / math.sqrt(400)


def test_the_bounds_do_not_fall_with_the_samples_and_stay_below_the_evidence():
    """ELBO <= IWAE_2 <= IWAE_10 <= IWAE_100 <= log p in expectation, on a linear model whose evidence is known."""
    model = linear_gaussian()
    with torch.no_grad():
        model.encoder[0].weight.mul_(0.3)  # away from the posterior, so that the bounds are apart
    x = correlated(20)
    draws = 300
    means = {}
    with torch.no_grad():
        for samples in (1, 2, 10, 100):
            means[samples] = torch.stack([model.elbo(x, NOISE.at(k), samples).mean() for k in range(draws)])
    evidence = exact_evidence(model).log_prob(x).mean()
    for fewer, more in ((1, 2), (2, 10), (10, 100)):
        gap = means[more] - means[fewer]
        assert gap.mean() > 4 * gap.std() / math.sqrt(draws)
    last = means[100]
    assert last.mean() < evidence + 4 * last.std() / math.sqrt(draws)


def test_the_bound_does_not_depend_on_how_many_samples_go_at_once(monkeypatch):
    model, x = seeded_vae(), correlated(6)
    whole = model.elbo(x, NOISE, 10)
    monkeypatch.setattr("gen_models.autoencoders.latent_variable.POINTS_AT_ONCE", 18)
    with torch.no_grad():
        torch.testing.assert_close(model.elbo(x, NOISE, 10), whole, rtol=1e-12, atol=1e-12)


# The linear-Gaussian model: z ~ N(0, I), x|z ~ N(Wz + b, sigma^2 I), evidence N(b, WW' + sigma^2 I)


def linear_gaussian(sigma: float = 0.6) -> VAE:
    """The analytic optimum: W of orthogonal columns, q the exact posterior, which is then diagonal."""
    model = VAE([4], None, latent=2, hidden=[], sigma=sigma).double()
    W = torch.linalg.qr(normal(4, 2)).Q * torch.tensor([2.0, 0.7])
    set_to_the_posterior(model, W, normal(4, seed=12), sigma)
    return model


def set_to_the_posterior(model: VAE, W: torch.Tensor, b: torch.Tensor, sigma: float) -> None:
    """y|z ~ N(W z + b, sigma^2 I), W of orthogonal columns, and q(z|y) its exact posterior."""
    precision = W.square().sum(0) + sigma**2  # of q, times sigma^2
    log_var = 2 * math.log(sigma) - precision.log()
    with torch.no_grad():
        model.decoder[0].weight.copy_(W)
        model.decoder[0].bias.copy_(b)
        to_mu = W.T / precision[:, None]
        model.encoder[0].weight.copy_(torch.cat([to_mu, torch.zeros(2, 4)]))
        model.encoder[0].bias.copy_(torch.cat([-to_mu @ b, MAX_LOG_VAR * torch.atanh(log_var / MAX_LOG_VAR)]))


def exact_evidence(model: VAE) -> MultivariateNormal:
    W, b = model.decoder[0].weight.detach(), model.decoder[0].bias.detach()
    return MultivariateNormal(b, W @ W.T + model.likelihood.sigma**2 * torch.eye(4, dtype=W.dtype))


@pytest.mark.parametrize("samples", [1, 5])
def test_at_the_analytic_optimum_every_draw_of_the_bound_is_the_evidence(samples):
    model, x = linear_gaussian(), correlated()
    torch.testing.assert_close(model.elbo(x, NOISE, samples), exact_evidence(model).log_prob(x), rtol=1e-8, atol=1e-8)


def test_at_the_optimum_with_a_learned_variance_the_bound_is_the_largest_evidence_of_probabilistic_pca():
    """Tipping and Bishop (1999): W = U (L - s^2)^(1/2), s^2 the mean of the other eigenvalues.

    The mean log-likelihood there is -1/2 (n log 2 pi + sum of the log eigenvalues that are kept + (n - r) log s^2 + n).
    """
    x = correlated(400)
    model = VAE([4], None, latent=2, hidden=[], sigma=1.0, variance="learned").double()
    model.warm_start(x, NOISE)
    y = model.data_scale.centre(x)
    eigenvalues, U = torch.linalg.eigh(torch.cov(y.T, correction=0))
    left, kept = eigenvalues.split(2)
    variance = left.mean()
    set_to_the_posterior(model, U[:, 2:] * (kept - variance).sqrt(), y.mean(dim=0), variance.sqrt().item())
    floor = 2 * math.log(MIN_SIGMA)
    with torch.no_grad():
        model.likelihood.raw.copy_(floor + torch.log(torch.expm1(variance.log() - floor)))
    largest = -0.5 * (4 * math.log(2 * math.pi) + kept.log().sum() + 2 * variance.log() + 4)
    reached = model.elbo(x, NOISE).mean() - model.data_scale.log_det()
    torch.testing.assert_close(reached, largest, rtol=1e-8, atol=1e-8)


def test_training_from_a_random_start_approaches_the_evidence_of_probabilistic_pca():
    """Tipping and Bishop (1999): at sigma^2 fixed, W = U (L - sigma^2)^(1/2) maximises the likelihood."""
    x, sigma = correlated(400), 0.5
    torch.manual_seed(1)
    model = VAE([4], None, latent=2, hidden=[], sigma=sigma).double()
    model.warm_start(x, NOISE)
    y = model.data_scale.centre(x)
    eigenvalues, U = torch.linalg.eigh(torch.cov(y.T, correction=0))
    W = U[:, 2:] * (eigenvalues[2:] - sigma**2).sqrt()
    optimum = MultivariateNormal(y.mean(0), W @ W.T + sigma**2 * torch.eye(4, dtype=W.dtype)).log_prob(y).mean()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-2)
    for step in range(600):
        optimiser.zero_grad()
        model.loss(x, NOISE.at(step)).value.backward()
        optimiser.step()
    with torch.no_grad():
        reached = torch.stack([model.elbo(x, NOISE.at(k)).mean() for k in range(1000, 1050)]).mean()
    gap = optimum + model.data_scale.log_det() - reached
    assert -0.01 < gap < 0.03


@pytest.mark.parametrize("variance", ["learned", "optimal"])
def test_training_finds_the_variance_of_probabilistic_pca(variance):
    """Tipping and Bishop (1999, equation 8): the best sigma^2 is the mean of the eigenvalues that are left out."""
    x = correlated(400)
    torch.manual_seed(1)
    model = VAE([4], None, latent=2, hidden=[], sigma=1.0, variance=variance).double().train()
    model.warm_start(x, NOISE)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(model.data_scale.centre(x).T, correction=0))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-2)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 800)
    for step in range(800):
        optimiser.zero_grad()
        model.loss(x, NOISE.at(step)).value.backward()
        optimiser.step()
        falling.step()
    assert model.likelihood.log_var().exp().item() == pytest.approx(eigenvalues[:2].mean().item(), rel=0.1)


# Samples


def test_samples_carry_the_decoders_noise():
    """Of a linear model: x ~ N(b, WW' + sigma^2 I)."""
    model = linear_gaussian()
    with torch.no_grad():
        x = model.sample(40_000, NOISE)
    evidence = exact_evidence(model)
    torch.testing.assert_close(x.mean(0), evidence.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(x.T), evidence.covariance_matrix, atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (VAE, {"latent": 2, "hidden": [], "sigma": 0.0}, "sigma = 0.0"),
        (VAE, {"latent": 2, "hidden": [], "sigma": float("nan")}, "sigma = nan"),
        (VAE, {"latent": 2, "hidden": [], "beta": -1.0}, "beta = -1.0"),
        (VAE, {"latent": 0, "hidden": []}, "latent = 0"),
        (VAE, {"latent": 2, "hidden": [3, -1]}, r"hidden\[1\] = -1"),
        (Autoencoder, {"latent": 4, "hidden": []}, "latent = 4 lets 4 dimensions pass unchanged"),
    ],
)
def test_what_cannot_be_built_says_why(cls, arguments, message):
    with pytest.raises(ConfigError, match=message) as raised:
        cls([4], None, **arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("event_shape", "levels", "message"),
    [([], None, "event_shape"), ([4, 0], None, r"event_shape\[1\] = 0"), ([4], 1, "levels = 1")],
)
def test_data_that_cannot_be_says_why(event_shape, levels, message):
    with pytest.raises(ConfigError, match=message):
        VAE(event_shape, levels, latent=2, hidden=[])
