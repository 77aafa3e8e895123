"""Laws of VQ-VAEs and of the priors over their codes: raster order, probabilities that sum to 1, codes in use."""

import itertools
import math

import pytest
import torch

from gen_models.autoencoders.pixel_cnn import PixelCNN
from gen_models.autoencoders.vq_vae import VQVAE
from gen_models.autoencoders.vq_vae2 import VQVAE2
from gen_models.errors import ConfigError
from gen_models.noise import Noise
from tests.models import TINY_VQ

NOISE = Noise(seed=17)


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pictures(n: int) -> torch.Tensor:
    return torch.randint(0, 17, (n, 1, 4, 4), generator=torch.Generator().manual_seed(2)).double()


def tiny_vq_vae(**arguments) -> VQVAE:
    torch.manual_seed(4)
    return VQVAE([1, 4, 4], 17, **{**TINY_VQ, **arguments}).double()


# The prior


@pytest.mark.parametrize("context", [0, 2])
def test_a_position_sees_all_positions_before_it_and_none_after(context):
    torch.manual_seed(5)
    model = PixelCNN(3, channels=4, layers=5, context=context).double()
    embedded = normal(1, 4, 4, 5).requires_grad_()
    grid = normal(1, context, 4, 5) if context else None
    logits = model.logits(embedded, grid).sum(dim=1).flatten()
    for place, logit in enumerate(logits):
        (gradient,) = torch.autograd.grad(logit, embedded, retain_graph=True)
        seen = gradient[0].abs().sum(dim=0).flatten()
        assert (seen[place:] == 0).all(), "type A: not itself, nor what comes later"
        assert (seen[:place] > 0).all(), "no blind spot"


def test_the_probabilities_of_all_grids_sum_to_one():
    torch.manual_seed(5)
    model = PixelCNN(3, channels=4, layers=2).double()
    grids = torch.tensor(list(itertools.product(range(3), repeat=6))).view(-1, 2, 3)
    assert model.log_prob(grids).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_the_likelihood_is_that_of_each_position_in_turn_as_sampling_sees_it():
    torch.manual_seed(5)
    model = PixelCNN(3, channels=4, layers=3, context=2).double()
    codes, context = torch.randint(0, 3, (2, 3, 4), generator=torch.Generator().manual_seed(1)), normal(2, 2, 3, 4)
    total = torch.zeros(2, dtype=torch.float64)
    for i in range(3):
        unknown = codes.clone()
        unknown[:, i:] = 0
        told = model.told(unknown, i, context)
        for j in range(4):
            log_p = model.row_logits(unknown, i, told)[:, :, j].log_softmax(dim=1)
            total += log_p.gather(1, codes[:, i, j][:, None])[:, 0]
            unknown[:, i, j] = codes[:, i, j]
    torch.testing.assert_close(model.log_prob(codes, context), total)


def test_samples_have_the_frequencies_of_the_density():
    torch.manual_seed(5)
    model = PixelCNN(2, channels=4, layers=2).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)  # away from even
    grids = torch.tensor(list(itertools.product(range(2), repeat=4))).view(-1, 2, 2)
    expected = model.log_prob(grids).exp()
    drawn = model.sample((20_000, 2, 2), NOISE, "prior")
    found = torch.bincount((drawn.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16) / 20_000
    error = (expected * (1 - expected) / 20_000).sqrt()
    assert ((found - expected).abs() < 4.5 * error).all()


# VQ-VAE


def test_the_start_gives_the_encoder_variance_one_and_a_code_its_share():
    """Outputs that lie close together would merge in the encoder's first steps."""
    model = tiny_vq_vae()
    x = pictures(90)
    model.warm_start(x, NOISE)
    z = model.encoder(model.images.centre(x))
    torch.testing.assert_close(z.mean(dim=(0, 2, 3)), torch.zeros(3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(z.var(dim=(0, 2, 3), correction=0), torch.ones(3).double())
    assert len(model.codes(x)[0].unique()) == 5


def test_codes_stand_for_the_row():
    model, x = tiny_vq_vae(), pictures(6)
    (codes,) = model.codes(x)
    assert codes.shape == (6, 2, 2)
    assert torch.equal(model.decode_codes((codes,)), model.reconstruct(x))
    torch.testing.assert_close(model.decode(model.encode(x)), model.reconstruct(x), rtol=1e-12, atol=1e-12)


def test_the_priors_loss_carries_no_gradient_into_the_codes():
    model, x = tiny_vq_vae(), torch.full((3, 1, 4, 4), 5.0, dtype=torch.float64)
    loss = model.prior_loss(x, NOISE).value
    rest = [*model.encoder.parameters(), *model.decoder.parameters()]
    assert all(g is None for g in torch.autograd.grad(loss, rest, allow_unused=True))


def test_the_loss_by_hand():
    """D = 0, z = 0 and codes that are all 3: |u|^2 + beta |z - e|^2 with y = 1/2, m = 0, s = 2 is 1/16 + 9/4."""
    model = tiny_vq_vae(beta=0.25)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.quantiser.codes.fill_(3.0)
    model.images.std.fill_(2.0)
    loss = model.loss(torch.full((2, 1, 4, 4), 8.0, dtype=torch.float64), NOISE)
    assert loss.value.item() == pytest.approx(0.0625 + 2.25)
    assert loss.terms["distortion"].item() == 0.0625
    assert loss.terms["commitment"].item() == 9.0


def test_a_short_training_uses_its_codes_and_learns_to_predict_them():
    """Four kinds of picture: four codes carry them, at log 4 nats a picture."""
    kinds = torch.tensor([[0, 0], [0, 16], [16, 0], [16, 16]]).double()
    x = kinds.repeat(32, 1).view(-1, 1, 2, 1).expand(-1, 1, 2, 2).clone()
    torch.manual_seed(0)
    small = {"codes": 4, "channels": 8, "blocks": 1, "prior_channels": 8, "prior_layers": 1}
    model = VQVAE([1, 2, 2], 17, **{**TINY_VQ, **small}).double()
    model.warm_start(x, NOISE)
    model.train()
    optimisers = [torch.optim.Adam(o.module.parameters(), lr=3e-3) for o in model.objectives()]
    for step in range(200):
        for objective, optimiser in zip(model.objectives(), optimisers, strict=True):
            optimiser.zero_grad()
            objective.loss(x, NOISE.at(step)).value.backward()
            optimiser.step()
            objective.after_step()
    model.eval()
    assert model.loss(x, NOISE).terms["distortion"] < 0.01
    assert model.quantiser.perplexity().item() == pytest.approx(4.0, abs=0.01)
    assert model.prior_loss(x, NOISE).terms["nats"].item() == pytest.approx(math.log(4), abs=0.02)


@pytest.mark.parametrize(
    ("event_shape", "arguments", "message"),
    [
        ([4], {}, "is no image"),
        ([1, 6, 4], {"scales": 2}, "halves a height of 6"),
        ([1, 4, 4], {"codes": 1}, "codes = 1"),
        ([1, 4, 4], {"decay": 1.0}, "decay = 1.0"),
        ([1, 4, 4], {"decay": "a"}, "decay = 'a'"),
        ([1, 4, 4], {"beta": 0.0}, "beta = 0.0"),
        ([1, 4, 4], {"prior_layers": 0}, "prior_layers = 0"),
    ],
)
def test_what_cannot_be_built_says_why(event_shape, arguments, message):
    with pytest.raises(ConfigError, match=message) as raised:
        VQVAE(event_shape, 17, **{**TINY_VQ, **arguments})
    assert "\n" not in str(raised.value)


# VQ-VAE-2


def tiny_two_levels(**arguments) -> VQVAE2:
    torch.manual_seed(4)
    return VQVAE2([1, 4, 4], 17, **{**TINY_VQ, **arguments}).double()


def test_two_levels_have_a_coarse_grid_and_a_fine_one_that_stand_for_the_row():
    model, x = (
        tiny_two_levels(),
        pictures(6),
    )
    model.warm_start(x, NOISE)
    top, bottom = model.codes(x)
    assert (top.shape, bottom.shape) == ((6, 1, 1), (6, 2, 2))
    assert torch.equal(model.decode_codes((top, bottom)), model.reconstruct(x))
    torch.testing.assert_close(model.decode(model.encode(x)), model.reconstruct(x), rtol=1e-12, atol=1e-12)


def test_the_two_priors_are_one_distribution_over_both_grids():
    """Of 3 codes on 1x1 and 2x2 positions: the 243 probabilities sum to 1, and the bottom's depend on the top."""
    model = tiny_two_levels(codes=3)
    tops = torch.arange(3).view(3, 1, 1)
    bottoms = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 2, 2)
    given = torch.stack([model.bottom_prior.log_prob(bottoms, top.expand(81, 1, 1)) for top in tops])
    assert not torch.allclose(given[0], given[1])
    joint = model.prior.log_prob(tops)[:, None] + given
    assert joint.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_both_levels_reach_the_picture_and_are_reported():
    model, x = (
        tiny_two_levels(),
        pictures(40),
    )
    model.warm_start(x, NOISE)
    terms = model.loss(x, NOISE).terms
    assert {"perplexity_top", "perplexity_bottom"} <= set(terms)
    top, bottom = model.codes(x)
    for changed in ((top.roll(1, 0), bottom), (top, bottom.roll(1, 0))):
        assert not torch.allclose(model.decode_codes(changed), model.decode_codes((top, bottom)))


def test_rows_without_their_bottom_are_drawn_from_the_top_alone_and_in_training_only():
    x, whole, without = pictures(4), tiny_two_levels(), tiny_two_levels(bottom_dropout=1 - 1e-12)
    without.load_state_dict(whole.state_dict())
    top, bottom = without._lookup(without.codes(x))
    expected = (without.images.centre(x) - without._decode(top, torch.zeros_like(bottom))).square().mean()
    assert without.train().loss(x, NOISE).terms["distortion"].item() == pytest.approx(expected.item(), rel=1e-12)
    found, other = (model.eval().loss(x, NOISE) for model in (without, whole))
    assert found.value.item() == other.value.item()


def test_a_collapsed_level_shows_in_its_own_perplexity():
    model = tiny_two_levels()
    model.top_quantiser.shares.copy_(torch.tensor([5.0, 0, 0, 0, 0]))
    terms = model.loss(torch.full((3, 1, 4, 4), 5.0, dtype=torch.float64), NOISE).terms
    assert terms["perplexity_top"].item() == pytest.approx(1.0)
    assert terms["perplexity_bottom"].item() == pytest.approx(5.0)


@pytest.mark.parametrize("share", ["a", True, 1.0, -0.1])
def test_a_share_of_rows_without_their_bottom_that_cannot_be_is_one_line(share):
    with pytest.raises(ConfigError, match=f"bottom_dropout = {share!r} cannot be used: give a share"):
        tiny_two_levels(bottom_dropout=share)
