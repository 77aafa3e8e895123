"""Laws of the importance-weighted bound: where it equals the ELBO, how it is ordered, and its two gradients."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from gen_models.autoencoders.iwae import IWAE
from gen_models.autoencoders.latent_variable import importance_bound
from gen_models.autoencoders.vae import VAE
from gen_models.errors import ConfigError
from gen_models.noise import Noise

NOISE = Noise(seed=23)


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def iwae(samples: int, latents=(2,), hidden=((6,),), **arguments) -> IWAE:
    torch.manual_seed(0)
    model = IWAE([4], None, latents=latents, hidden=hidden, samples=samples, sigma=0.8, **arguments).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 2  # away from the prior, so that the bounds are apart
    return model


def two_layers(samples: int, **arguments) -> IWAE:
    return iwae(samples, (3, 2), ((6,), (5,)), **arguments)


def test_one_sample_is_the_elbo_of_the_vae_with_the_same_noise_and_weights():
    model, x = iwae(1), normal(20, 4)
    vae = VAE([4], None, latent=2, hidden=[6], sigma=0.8).double()
    vae.load_state_dict(model.state_dict())
    loss = model.loss(x, NOISE)
    torch.testing.assert_close(loss.value, -vae.elbo(x, NOISE).mean(), rtol=0, atol=0)
    torch.testing.assert_close(loss.terms["elbo_nats"], loss.terms["nats"])
    assert loss.terms["effective_samples"].item() == pytest.approx(1)


@pytest.mark.parametrize("make", [iwae, two_layers])
def test_the_loss_is_minus_the_bound_of_k_samples(make):
    model, x = make(7), normal(20, 4)
    torch.testing.assert_close(model.loss(x, NOISE).terms["nats"], -model.elbo(x, NOISE, 7).mean())


@pytest.mark.parametrize("make", [iwae, two_layers])
def test_the_bounds_are_in_order(make):
    """E L_1 <= E L_5 <= E L_50, paired: of the 50 weights of a row the first are those of the smaller bounds."""
    model, x, draws = make(1), normal(20, 4), 200
    means = {k: [] for k in (1, 5, 50)}
    with torch.no_grad():
        for s in range(draws):
            y = model.data_scale(x, NOISE.at(s)).flatten(1)
            log_weights = model.log_weights(y, model.draws(y, NOISE.at(s), 50))
            for k, found in means.items():
                found.append(importance_bound(log_weights[:, :k]).mean())
    means = {k: torch.stack(found) for k, found in means.items()}
    for fewer, more in ((1, 5), (5, 50)):
        gap = means[more] - means[fewer]
        assert gap.mean() > 4 * gap.std() / math.sqrt(draws)


def test_the_bounds_of_a_linear_gaussian_model_of_two_layers_stay_below_its_evidence():
    """z_2 ~ N(0, I), z_1|z_2 ~ N(A z_2, s^2), y|z_1 ~ N(W z_1, sigma^2 I): y ~ N(0, W (A A' + s^2) W' + sigma^2 I)."""
    model = iwae(1, (3, 2), ((), ()))
    with torch.no_grad():
        for parameter in [*model.encoder.parameters(), *model.upper_encoders.parameters()]:
            parameter.zero_()  # q = N(0, I), whatever y: a poor one, but a wide one
        model.decoder[0].bias.zero_()
        model.upper_decoders[0][0].bias.zero_()
        model.upper_decoders[0][0].weight[3:] = 0  # log variances: 0 of every latent of the first layer
        W, A = model.decoder[0].weight, model.upper_decoders[0][0].weight[:3]
        eye3, eye4 = torch.eye(3, dtype=W.dtype), torch.eye(4, dtype=W.dtype)
        evidence = MultivariateNormal(W.new_zeros(4), W @ (A @ A.T + eye3) @ W.T + 0.8**2 * eye4)
        x = model.sample(30, NOISE)
        log_p = evidence.log_prob(x).mean()
        for samples, at_most in ((1, math.inf), (1000, 0.2)):
            bounds = torch.stack([model.elbo(x, NOISE.at(s), samples).mean() for s in range(40)])
            assert bounds.mean() < log_p + 4 * bounds.std() / math.sqrt(40)
            assert log_p - bounds.mean() < at_most


@pytest.mark.parametrize("make", [iwae, two_layers])
@pytest.mark.parametrize("samples", [1, 4])
def test_both_gradients_have_one_mean(make, samples):
    """Of the decoder the two are equal draw by draw; of the encoder in expectation only."""
    x = normal(3, 4)
    plain, double = (gradients(make(samples, gradient=name), x) for name in ("plain", "doubly_reparameterised"))
    for name, ours in double.items():
        other = plain[name]
        if "decoder" in name:
            torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-12)
            continue
        error = ((ours.var(0) + other.var(0)) / len(ours)).sqrt()
        away = (ours.mean(0) - other.mean(0)).abs()[error > 1e-12] / error[error > 1e-12]
        assert (away > 3).double().mean() < 0.06, name
        assert away.max() < 4.5, name


def gradients(model: IWAE, x: torch.Tensor, batches: int = 60) -> dict[str, torch.Tensor]:
    """{parameter: (batches, numbers)}: each a mean over a hundred draws."""
    parameters = dict(model.named_parameters())
    found = [
        torch.autograd.grad(model.loss(x.repeat(100, 1), NOISE.at(step)).value, list(parameters.values()))
        for step in range(batches)
    ]
    return {
        name: torch.stack([g.flatten() for g in parts])
        for name, parts in zip(parameters, zip(*found, strict=True), strict=True)
    }


def test_the_doubly_reparameterised_gradient_keeps_its_signal_as_samples_grow():
    """|mean| / standard deviation of the encoder's gradient falls with K for the one and not for the other."""
    x = normal(3, 4)
    ratios = {}
    for name in ("plain", "doubly_reparameterised"):
        for samples in (2, 64):
            found = gradients(iwae(samples, gradient=name), x, 120)
            encoder = torch.cat([value for key, value in found.items() if "encoder" in key], dim=1)
            ratios[name, samples] = (encoder.mean(0).norm() / encoder.var(0).sum().sqrt()).item()
    assert ratios["plain", 64] < 0.7 * ratios["plain", 2]
    assert ratios["doubly_reparameterised", 64] > 1.6 * ratios["plain", 64]
    assert ratios["doubly_reparameterised", 64] > 0.7 * ratios["doubly_reparameterised", 2]


def test_the_loss_is_the_same_whether_gradients_are_kept_or_not(monkeypatch):
    """Validation asks for the terms of many rows without gradients: then the samples go in pieces."""
    model, x = two_layers(6, gradient="doubly_reparameterised"), normal(5, 4)
    kept = model.loss(x, NOISE)
    monkeypatch.setattr("gen_models.autoencoders.latent_variable.POINTS_AT_ONCE", 10)
    with torch.no_grad():
        torch.testing.assert_close(model.loss(x, NOISE), kept, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latents": [2], "hidden": [[3], [4]]}, "give a list of widths for each of latents = \\[2\\]"),
        ({"latents": [], "hidden": []}, "give a list of widths"),
        ({"latents": 2, "hidden": [[3]]}, "latents = 2 .* such as \\[2\\]"),
        ({"latents": [2], "hidden": 3}, "hidden = 3 .* such as \\[\\[8\\]\\]"),
        ({"latents": [2], "hidden": [3]}, "hidden\\[0\\] = 3 .* such as \\[3\\]"),
        ({"latents": [2, 0], "hidden": [[3], [4]]}, "latents\\[1\\] = 0"),
        ({"samples": 0}, "samples = 0"),
        ({"gradient": "dreg"}, "unknown gradient 'dreg'"),
        ({"variance": "optimal"}, "use learned or fixed"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, message):
    with pytest.raises(ConfigError, match=message) as raised:
        IWAE([4], None, **{"latents": [2], "hidden": [[3]], "samples": 5, **arguments})
    assert "\n" not in str(raised.value)
