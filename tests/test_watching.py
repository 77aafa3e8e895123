"""Laws of what is watched: shares that sum to the whole, and latents that are active or collapsed by a closed form."""

import pytest
import torch

from gen_models.analysis.latent_usage import ACTIVE, watch
from gen_models.autoencoders.vae import VAE
from gen_models.noise import Noise
from tests.linear_gaussian import linear_vae, normal, set_encoder

NOISE = Noise(seed=31)
EIGENVALUES = torch.tensor([4.0, 1.0, 0.25, 0.04], dtype=torch.float64)


def at_the_optimum_of_pca(sigma: float) -> tuple[VAE, torch.Tensor]:
    """Data of covariance diag(EIGENVALUES), and probabilistic PCA with as many latents (Tipping and Bishop, 1999)."""
    white = normal(20_000, 4)
    white = (white - white.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(white.T, correction=0))).T
    x = white * EIGENVALUES.sqrt()
    width = (EIGENVALUES - sigma**2).clamp_min(0).sqrt()
    model = linear_vae(torch.diag(width), sigma)
    with torch.no_grad():
        model.decoder[0].bias.zero_()
    precision = width.square() / sigma**2 + 1
    set_encoder(model, torch.diag(width / sigma**2 / precision), 1 / precision)
    return model, x


def test_kl_by_dimension_sums_to_the_rate():
    torch.manual_seed(0)
    model, x = VAE([4], None, latent=3, hidden=[8]).double(), normal(50, 4)
    torch.testing.assert_close(watch(model, x, NOISE).kl_nats.sum(), model.loss(x, NOISE).terms["rate_nats"])


@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.5])
def test_a_linear_model_collapses_where_the_noise_is_louder_than_the_direction(sigma):
    """A latent of eigenvalue l has activity (l - sigma^2)/l and rate 1/2 log(l/sigma^2), or both are 0."""
    model, x = at_the_optimum_of_pca(sigma)
    found = watch(model, x, NOISE)
    is_used = sigma**2 < EIGENVALUES
    activity = torch.where(is_used, 1 - sigma**2 / EIGENVALUES, 0)
    rate = torch.where(is_used, 0.5 * (EIGENVALUES / sigma**2).log(), 0)
    torch.testing.assert_close(found.activity, activity, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.kl_nats, rate, rtol=1e-6, atol=1e-9)
    assert torch.equal(found.is_active(), activity > ACTIVE)
    assert torch.equal(found.is_collapsed(), ~is_used)


def test_a_collapse_is_said():
    some, all_, none = (watch(*at_the_optimum_of_pca(sigma), NOISE).sentence() for sigma in (0.4, 3.0, 0.1))
    assert some == "3 of 4 latents are active, 2.75 nats a row; collapsed to the prior, counted from 0: latent 3"
    assert all_.startswith("0 of 4 latents are active, 0.00 nats a row; the posterior has collapsed in all of them")
    assert none.startswith("4 of 4 latents are active") and "collapsed" not in none


def test_watching_more_rows_than_fit_at_once_is_the_same(monkeypatch):
    model, x = at_the_optimum_of_pca(0.4)
    whole = watch(model, x[:1000], NOISE)
    monkeypatch.setattr("gen_models.analysis.latent_usage.ROWS_AT_ONCE", 300)
    torch.testing.assert_close(watch(model, x[:1000], NOISE), whole)
