"""Laws of the standard game and of DCGAN: the best critic is known, and what a player's step may touch."""

import math

import pytest
import torch
from torch import nn

from gen_models.adversarial.conv_wgan import ConvWGAN
from gen_models.adversarial.dcgan import DCGAN
from gen_models.adversarial.gan import GAN
from gen_models.adversarial.gan_losses import GANLosses
from gen_models.adversarial.zero_penalty import ZeroPenalty
from gen_models.engine import Training, fit
from gen_models.errors import ConfigError
from gen_models.layers.dcgan import Discriminator, Generator, halved_sizes
from gen_models.noise import Noise
from tests.tables import best_critic, cells, shares

NOISE = Noise(seed=3)


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("weight", [1.0, 0.3, 4.0])
def test_the_best_critic_is_p_over_p_plus_lambda_q(weight):
    real, fake = cells(4.0, 2.0), cells(7.0, 3.0)
    game = best_critic(GANLosses(weight), real, fake)
    p, q = shares(real), shares(fake)
    torch.testing.assert_close(game.critic.logits.sigmoid(), p / (p + weight * q), rtol=0, atol=1e-6)


def test_the_value_at_the_best_critic_is_two_js_less_log_4():
    real, fake = cells(4.0, 2.0), cells(7.0, 3.0)
    value = best_critic(GANLosses(), real, fake).critic_loss(real, NOISE).terms["value"]
    p, q = shares(real), shares(fake)
    js = (p * (2 * p / (p + q)).log()).sum() / 2 + (q * (2 * q / (p + q)).log()).sum() / 2
    assert value.item() == pytest.approx(2 * js.item() - math.log(4), abs=1e-10)


def test_against_a_perfect_generator_the_critic_knows_nothing():
    loss = best_critic(GANLosses(), cells(4.0, 2.0), cells(4.0, 2.0)).critic_loss(cells(4.0, 2.0), NOISE)
    assert loss.terms["value"].item() == pytest.approx(-math.log(4), abs=1e-12)


def test_losses_by_hand():
    """D = 1/2 and 3/4 of the reals, 1/4 of the fake."""
    real, fake = torch.tensor([[0.0, math.log(3)], [-math.log(3), 0.0]], dtype=torch.float64)
    fake = fake[:1]
    loss = GANLosses(weight=2.0).critic(real, fake)
    expected = (math.log(1 / 2) + math.log(3 / 4)) / 2 + 2 * math.log(3 / 4)
    assert loss.terms["value"].item() == pytest.approx(expected, rel=1e-12)
    assert loss.value.item() == pytest.approx(-expected, rel=1e-12)
    assert (loss.terms["accuracy_real"].item(), loss.terms["accuracy_fake"].item()) == (0.5, 1.0)
    assert GANLosses(2.0).generator(fake).value.item() == pytest.approx(2 * math.log(3 / 4), rel=1e-12)
    non_saturating = GANLosses(2.0, "non_saturating").generator(fake).value.item()
    assert non_saturating == pytest.approx(-2 * math.log(1 / 4), rel=1e-12)


def test_the_game_is_zero_sum():
    """What the generator descends differs from what the critic ascends by what does not depend on the fakes."""
    real, first, second = normal(5), normal(5, seed=1), normal(5, seed=2)
    losses = GANLosses(weight=0.7)
    critic = losses.critic(real, first).value - losses.critic(real, second).value
    generator = losses.generator(first).value - losses.generator(second).value
    torch.testing.assert_close(critic, -generator, rtol=1e-12, atol=1e-12)


def test_both_generator_losses_have_one_slope_at_d_of_a_half_and_only_one_survives_a_sure_critic():
    slopes = {}
    for kind in ("zero_sum", "non_saturating"):
        fake = torch.tensor([0.0, -40.0], dtype=torch.float64, requires_grad=True)
        (slopes[kind],) = torch.autograd.grad(2 * GANLosses(1.0, kind).generator(fake).value, fake)
    assert slopes["zero_sum"].tolist() == pytest.approx([-0.5, 0.0], abs=1e-15)
    assert slopes["non_saturating"].tolist() == pytest.approx([-0.5, -1.0], abs=1e-15)


def test_the_penalty_is_the_mean_square_of_the_slopes_on_both_kinds_of_rows():
    """Of a linear critic c.y both squares are |c|^2; of c |y|^2 / 2 they are c^2 |y|^2, reals and fakes alike."""
    y, fakes = normal(5, 2), normal(5, 2, seed=7)
    linear = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)).double()
    loss = ZeroPenalty(3.0)(linear, y, fakes, NOISE)
    assert loss.value.item() == pytest.approx(3.0 * linear[0].weight.square().sum().item())
    bowl = Bowl()
    loss = ZeroPenalty(3.0)(bowl, y, fakes, NOISE)
    expected = 3.0 / 2 * 4.0 * (y.square().sum(dim=1).mean() + fakes.square().sum(dim=1).mean())
    assert loss.value.item() == pytest.approx(expected.item())
    (slope,) = torch.autograd.grad(loss.value, bowl.c)  # 2 value / c: the second derivative is there
    assert slope.item() == pytest.approx(loss.value.item())


class Bowl(nn.Module):
    """c |y|^2 / 2 at c = 2."""

    def __init__(self):
        super().__init__()
        self.c = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, y):
        return self.c * y.square().sum(dim=1) / 2


@pytest.mark.parametrize("kind", ["zero_sum", "non_saturating"])
def test_a_critic_that_is_sure_costs_a_finite_loss(kind):
    sure = torch.tensor([1e4, -1e4])
    losses = GANLosses(1.0, kind)
    assert losses.critic(sure, sure).value.isfinite()
    assert losses.generator(sure).value.isfinite()


# What a step may touch


def played(model: nn.Module, steps: int, x: torch.Tensor, **options) -> list:
    class Same:
        def at(self, step):
            return x

    optimisers = {o.name: torch.optim.Adam(o.module.parameters(), lr=1e-3) for o in model.objectives()}
    return list(fit(Training(model, optimisers), Same(), NOISE, steps=steps, report_every=1, **options))


IMAGES = {
    "dcgan": lambda: DCGAN([1, 8, 8], 17, latent=3, channels=4, kernel=3),
    "conv_wgan": lambda: ConvWGAN([1, 8, 8], 17, latent=3, channels=4, constraint="normalisation"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_step_leaves_the_other_player_bit_identical_statistics_and_power_vectors_included(name):
    torch.manual_seed(0)
    model = IMAGES[name]().train()
    x = torch.randint(0, 17, (16, 1, 8, 8)).float()
    for mine, other in (("critic", "generator"), ("generator", "critic")):
        objective = next(o for o in model.objectives() if o.name == mine)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        objective.loss(x, NOISE).value.backward(inputs=list(objective.module.parameters()))
        objective.after_step()
        after = model.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before if key.startswith(other))
    moved = [key for key in before if not torch.equal(before[key], model.state_dict()[key])]
    assert moved and all(key.startswith("generator") for key in moved)


def test_each_players_statistics_move_in_its_own_step():
    torch.manual_seed(0)
    model = IMAGES["dcgan"]()
    before = {key: value.clone() for key, value in model.named_buffers()}
    played(model, 2, torch.randint(0, 17, (16, 1, 8, 8)).float())
    for key, value in model.named_buffers():
        assert torch.equal(value, before[key]) == key.startswith("data_scale"), key


def test_alternating_play_answers_with_fresh_fakes():
    model = GAN([2], None, latent=2, hidden=[8])
    seen = []
    model.generator.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].clone()))
    played(model, 1, torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))
    assert len(seen) == 2 and not torch.equal(seen[0], seen[1])


def test_samples_are_those_of_evaluation_mode_and_leave_no_trace():
    torch.manual_seed(0)
    model = IMAGES["dcgan"]()
    played(model, 3, torch.randint(0, 17, (16, 1, 8, 8)).float())
    evaluated = model.eval().sample(6, NOISE)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert torch.equal(model.train().sample(6, NOISE), evaluated)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    torch.testing.assert_close(model.generator.eval()(normal(1, 3).float()), model.generator(normal(1, 3).float()))


def test_a_batch_of_one_trains():
    torch.manual_seed(0)
    reports = played(IMAGES["dcgan"](), 2, torch.randint(0, 17, (1, 1, 8, 8)).float())
    assert all(math.isfinite(value) for report in reports for value in report.terms.values())


# The networks of DCGAN


@pytest.mark.parametrize(
    ("side", "sizes"),
    [(64, [64, 32, 16, 8, 4]), (32, [32, 16, 8, 4]), (28, [28, 14, 7, 4]), (8, [8, 4, 2]), (4, [4, 2, 1])],
)
def test_sides_are_halved_to_4_and_at_least_twice(side, sizes):
    assert halved_sizes([1, side, side]) == [(size, size) for size in sizes]


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 28, 28), (1, 8, 8), (2, 9, 13)], ids=str)
@pytest.mark.parametrize("kernel", [3, 5])
def test_the_networks_meet_at_the_images_shape(shape, kernel):
    images = Generator(6, shape, channels=2, kernel=kernel, is_unit=True)(torch.randn(3, 6))
    assert images.shape == (3, *shape)
    assert (images.min() >= 0) and (images.max() <= 1)
    assert Discriminator(shape, channels=2, kernel=kernel, is_unit=True)(images).shape == (3,)


def test_the_architecture_is_the_papers():
    """64x64: 1024 maps of 4x4, then 512, 256, 128 and 3; batch norm everywhere but at the image; N(0, 0.02^2)."""
    with torch.device("meta"):
        generator = Generator(100, [3, 64, 64], channels=128, is_unit=True)
    convs = [layer for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert generator.project.out_features == 1024 * 4 * 4
    assert [(c.in_channels, c.out_channels) for c in convs] == [(1024, 512), (512, 256), (256, 128), (128, 3)]
    kinds = [type(layer).__name__ for layer in generator.layers]
    assert kinds == ["BatchNorm", "ReLU", *["ConvTranspose2d", "BatchNorm", "ReLU"] * 3, "ConvTranspose2d"]
    torch.manual_seed(0)
    critic = Discriminator([1, 16, 16], channels=16, is_unit=True)
    kinds = [type(layer).__name__ for layer in critic.layers]
    assert kinds == ["Conv2d", "LeakyReLU", "Conv2d", "BatchNorm", "LeakyReLU", "Flatten", "Linear"]
    assert critic.layers[2].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert critic.layers[0].bias.abs().max() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GAN([2], None, latent=2, hidden=[8], weight=0.0), "weight = 0.0"),
        (lambda: GAN([2], None, latent=0, hidden=[8]), "latent = 0"),
        (lambda: GAN([2], None, latent=2, hidden=[8], n_dis=0), "n_dis = 0"),
        (lambda: GAN([2], None, latent=2, hidden=[8], penalty=0.0), "penalty = 0.0"),
        (lambda: GAN([2], None, latent=2, hidden=[8], activation="rely"), "did you mean 'relu'"),
        (lambda: GAN([2], None, latent=2, hidden=[8], generator_loss="zerosum"), "did you mean 'zero_sum'"),
        (lambda: DCGAN([2], None, latent=2, channels=8), r"event_shape = \[2\] is no image"),
        (lambda: DCGAN([1, 8, 8], 17, latent=2, channels=8, kernel=4), "kernel = 4"),
        (lambda: DCGAN([1, 8, 8], 17, latent=2, channels=0), "channels = 0"),
    ],
)
def test_what_cannot_be_built_says_why(call, message):
    with pytest.raises(ConfigError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
