"""Laws of corruption: its moments, a function of (seed, step), and a linear denoiser that reaches Wiener's."""

from dataclasses import replace

import pytest
import torch

from gen_models.autoencoders.autoencoder import Autoencoder
from gen_models.autoencoders.corruption import CORRUPTIONS
from gen_models.errors import ConfigError
from gen_models.noise import Noise

NOISE = Noise(seed=4, step=2)
LEVEL = 0.3


def denoiser(corruption: str, levels: int | None = 17, level: float = LEVEL) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder([5], levels, latent=2, hidden=[], corruption=corruption, corruption_level=level).double()


def rows(n: int = 20_000) -> torch.Tensor:
    """Pixels on 1 .. 15, so that what is wiped out shows."""
    return torch.randint(1, 16, (n, 5), generator=torch.Generator().manual_seed(1)).double()


def test_gaussian_noise_has_its_level_in_network_units():
    x = rows()
    noise = (denoiser("gaussian").corrupt(x, NOISE) - x) / 17
    error = LEVEL / (noise.numel() ** 0.5)
    assert noise.mean().abs() < 4 * error
    assert abs(noise.std().item() - LEVEL) < 4 * error
    assert torch.corrcoef(noise.T).fill_diagonal_(0).abs().max() < 4 / len(x) ** 0.5


def test_gaussian_noise_on_continuous_data_is_in_standard_deviations():
    model, x = denoiser("gaussian", None), torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], dtype=torch.float64) * rows()
    model.warm_start(x, NOISE)
    spread = (model.corrupt(x, NOISE) - x).std(dim=0) / x.std(dim=0)
    torch.testing.assert_close(spread, torch.full_like(spread, LEVEL), rtol=0.03, atol=0)


@pytest.mark.parametrize("levels", [17, None])
def test_masking_wipes_out_its_share_and_nothing_else(levels):
    model, x = denoiser("masking", levels), rows() + 0.01
    model.warm_start(x, NOISE)
    seen = model.corrupt(x, NOISE)
    wiped = torch.zeros(5, dtype=x.dtype) if levels else x.mean(dim=0)
    is_hit = seen != x
    torch.testing.assert_close(seen[is_hit], wiped.expand_as(x)[is_hit])
    assert abs(is_hit.double().mean().item() - LEVEL) < 4 * (LEVEL * (1 - LEVEL) / x.numel()) ** 0.5


def test_salt_and_pepper_are_the_brightest_and_the_darkest_level_equally_often():
    x = rows()
    seen = denoiser("salt_and_pepper").corrupt(x, NOISE)
    is_hit = seen != x
    assert set(seen[is_hit].tolist()) == {0.0, 16.0}
    assert abs(is_hit.double().mean().item() - LEVEL) < 0.01
    assert abs((seen[is_hit] == 0).double().mean().item() - 0.5) < 0.02


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_corruption_is_a_function_of_seed_and_step_sliced_by_worker(corruption):
    model, x = denoiser(corruption), rows(40)
    seen = model.corrupt(x, NOISE)
    assert torch.equal(model.corrupt(x, NOISE), seen)
    assert torch.equal(model.corrupt(x, NOISE.at(3)), seen) == (corruption == "none")
    halves = [model.corrupt(half, replace(NOISE, rank=rank, world=2)) for rank, half in enumerate(x.chunk(2))]
    assert torch.equal(torch.cat(halves), seen)


def test_the_target_of_a_corrupted_row_is_the_clean_one():
    """With D = 0 the loss is |y|^2 whatever the corruption."""
    model, x = denoiser("masking"), rows(10)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
    expected = model.data_scale.centre(x).square().sum(dim=1).mean()
    torch.testing.assert_close(model.loss(x, NOISE).value, expected)


def test_a_linear_denoiser_is_stationary_at_wieners():
    """min_A E|y - A(y + s e)|^2 is A = C (C + s^2 I)^-1; of rank r, its projection on the first r directions of C."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(4000, 5, generator=generator, dtype=torch.float64) @ torch.randn(5, 5, generator=generator).double()
    model = denoiser("gaussian", None, 0.5)
    model.warm_start(x, NOISE)
    eigenvalues, vectors = torch.linalg.eigh(torch.cov(model.data_scale.centre(x).T, correction=0))
    with torch.no_grad():
        for part in (model.encoder[0], model.decoder[0]):
            part.bias.zero_()
        gain = eigenvalues[3:] / (eigenvalues[3:] + 0.5**2)
        model.encoder[0].weight.copy_(gain[:, None] * vectors[:, 3:].T)
        model.decoder[0].weight.copy_(vectors[:, 3:])
    draws = [model.loss(x, NOISE.at(step)).value for step in range(40)]
    gradients = [torch.autograd.grad(value, list(model.parameters())) for value in draws]
    for parts in zip(*gradients, strict=True):
        gradient = torch.stack(parts)
        assert (gradient.mean(0).abs() < 4.5 * gradient.std(0) / len(draws) ** 0.5 + 1e-12).all()
    left = eigenvalues[:3].sum() + (eigenvalues[3:] * 0.5**2 / (eigenvalues[3:] + 0.5**2)).sum()
    torch.testing.assert_close(torch.stack(draws).mean().detach(), left, rtol=2e-2, atol=0)


def test_a_denoised_row_is_as_stored():
    model, x = denoiser("gaussian"), rows(10)
    seen = model.corrupt(x, NOISE)
    torch.testing.assert_close(model.denoise(seen), model.reconstruct(seen))


@pytest.mark.parametrize(
    ("levels", "arguments", "message"),
    [
        (17, {"corruption": "gausian"}, "did you mean 'gaussian'"),
        (17, {"corruption": "masking", "corruption_level": 1.5}, "masking takes a share"),
        (17, {"corruption": "gaussian", "corruption_level": 0.0}, "corruption_level = 0.0"),
        (None, {"corruption": "salt_and_pepper"}, "use gaussian or masking"),
    ],
)
def test_what_cannot_be_built_says_why(levels, arguments, message):
    with pytest.raises(ConfigError, match=message) as raised:
        Autoencoder([5], levels, latent=2, hidden=[], **arguments)
    assert "\n" not in str(raised.value)


def test_only_a_denoiser_may_have_as_many_latents_as_dimensions():
    Autoencoder([5], 17, latent=5, hidden=[], corruption="masking")
    with pytest.raises(ConfigError, match="latent = 5 lets 5 dimensions pass unchanged"):
        Autoencoder([5], 17, latent=5, hidden=[])
