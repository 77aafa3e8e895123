"""The inversion of a generator finds what it made, and says how far away the rest is."""

import pytest
import torch
from torch import nn

from gen_models.adversarial.dcgan import DCGAN
from gen_models.adversarial.gan import GAN
from gen_models.analysis.inversion import invert
from gen_models.anomalies import scores, search_score
from gen_models.errors import ConfigError
from gen_models.noise import Noise

NOISE = Noise(seed=8)


def plane_in_space() -> GAN:
    """G(z) = A z + b, injective: the range is a plane in three dimensions."""
    torch.manual_seed(0)
    model = GAN([3], None, latent=2, hidden=[]).double()
    with torch.no_grad():
        model.generator[0].weight.copy_(torch.tensor([[1.0, 0.5], [-0.5, 1.0], [0.0, 0.7]]))
    return model


def test_what_an_injective_generator_made_is_found_again():
    model = plane_in_space()
    z = NOISE.normal("truth", (6, 2), like=model.data_scale.scale)
    found = invert(model, model.generator(z).detach(), NOISE)
    torch.testing.assert_close(found.z, z, rtol=0, atol=1e-4)
    assert found.distance.max() < 1e-4


def test_the_distance_is_that_to_the_range_of_the_generator():
    model = plane_in_space()
    A, b = model.generator[0].weight.detach(), model.generator[0].bias.detach()
    x = NOISE.normal("elsewhere", (5, 3), like=b)
    residual = (x - b) - (x - b) @ torch.linalg.pinv(A).mT @ A.mT
    torch.testing.assert_close(invert(model, x, NOISE).distance, residual.norm(dim=1), rtol=1e-6, atol=1e-6)


class Waves(nn.Module):
    """z + 2 sin(2 z), which climbs, falls and climbs: a search that starts on the wrong slope ends at its foot."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z + 2 * torch.sin(2 * z)


def test_several_starts_find_what_one_misses():
    model = GAN([1], None, latent=1, hidden=[]).double()
    model.generator = Waves()
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    single = [invert(model, x, NOISE.at(step), starts=1, steps=80).distance.max() for step in range(8)]
    assert max(single) > 0.1
    assert invert(model, x, NOISE, starts=12, steps=80).distance.max() < 1e-2


def test_an_answer_is_a_function_of_row_and_noise_and_leaves_no_trace():
    torch.manual_seed(0)
    model = DCGAN([1, 8, 8], 17, latent=3, channels=2, kernel=3).double().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x = torch.randint(0, 17, (3, 1, 8, 8)).double()
    state = torch.get_rng_state()
    found = invert(model, x, NOISE, starts=2, steps=4)
    alone = invert(model, x[1:2], NOISE, starts=2, steps=4)
    torch.testing.assert_close(found.z[1:2], alone.z, rtol=1e-9, atol=1e-9)
    assert torch.equal(found.z, invert(model, x, NOISE, starts=2, steps=4).z)
    assert not torch.equal(found.z, invert(model, x, NOISE.at(1), starts=2, steps=4).z)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_score_of_a_row_is_its_distance_and_larger_off_the_range_than_on_it(monkeypatch):
    model = plane_in_space()
    on = model.generator(NOISE.normal("truth", (6, 2), like=model.data_scale.scale)).detach()
    normal = torch.linalg.cross(*model.generator[0].weight.detach().T)
    x = torch.cat([on, on + 2 * normal / normal.norm()])
    monkeypatch.setattr(search_score, "SEARCH_ROWS", 5)
    found = search_score.inversion(model, noise=NOISE, steps=300)(x)
    assert found[:6].max() < 1e-3
    torch.testing.assert_close(found[6:], torch.full((6,), 2.0).double(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found, invert(model, x, NOISE, steps=300).distance, rtol=1e-9, atol=1e-9)
    assert "inversion" not in scores.scorers(model)  # a search is asked for apart: a served model answers at once


def test_what_cannot_be_searched_says_why():
    with pytest.raises(ConfigError, match="starts = 0"):
        invert(plane_in_space(), torch.zeros(1, 3).double(), NOISE, starts=0)
