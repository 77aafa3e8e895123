"""Laws of the Wasserstein game: the critic is 1-Lipschitz after every step, so its value never exceeds W1."""

import pytest
import torch
from scipy.stats import wasserstein_distance

from gen_models.adversarial.sn_wgan import SNWGAN
from gen_models.engine import Training, fit
from gen_models.errors import ConfigError
from gen_models.layers.lipschitz import LipschitzMLP, MaxMin
from gen_models.layers.operator_norm import UnitBall
from gen_models.noise import Noise

NOISE = Noise(seed=17)
SLACK = 1 + 1e-4


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def norms(model: SNWGAN) -> torch.Tensor:
    """The exact sigma_max of each layer of the critic."""
    return torch.stack([torch.linalg.matrix_norm(linear.weight.double(), ord=2) for linear in model.critic.linears])


def game(seed: int = 0, event_shape=(2,), **arguments) -> SNWGAN:
    torch.manual_seed(seed)
    return SNWGAN(list(event_shape), None, **{"latent": 2, "hidden": [16, 16], **arguments})


class Rows:
    """Minibatches as a function of the step."""

    def __init__(self, x: torch.Tensor, batch: int):
        self.x, self.batch = x, batch

    def at(self, step: int) -> torch.Tensor:
        return self.x[NOISE.at(step).permutation("rows", len(self.x))[: self.batch]]


def play(model: SNWGAN, x: torch.Tensor, steps: int, *, report_every: int = 1, rate: float = 1e-2, batch: int = 32):
    optimisers = {
        objective.name: torch.optim.Adam(objective.module.parameters(), lr=rate, betas=(0.0, 0.9))
        for objective in model.objectives()
    }
    return fit(Training(model, optimisers), Rows(x, batch), NOISE, steps=steps, report_every=report_every)


# The projection


@pytest.mark.parametrize("shape", [(8, 8), (3, 40), (40, 3), (1, 5), (64, 64)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_a_projected_weight_is_inside_the_ball(shape, scale):
    weight = scale * normal(*shape)
    UnitBall(shape[1]).project(weight)
    assert torch.linalg.matrix_norm(weight, ord=2) <= SLACK
    assert torch.linalg.matrix_norm(weight, ord=2) > 0.99, "no further inside than the edge"


def test_a_weight_inside_the_ball_is_left_alone():
    weight = 0.9 * torch.linalg.qr(normal(12, 12)).Q
    projected = weight.clone()
    UnitBall(12).project(projected)
    assert torch.equal(projected, weight)


@pytest.mark.parametrize("too_long", [1, 2])
def test_up_to_two_singular_values_are_clipped_as_the_projection_does(too_long):
    U, V = torch.linalg.qr(normal(6, 6)).Q, torch.linalg.qr(normal(6, 6, seed=1)).Q
    sigmas = torch.tensor([3.0, 1.7, 0.9, 0.5, 0.3, 0.1])
    sigmas[too_long:] = sigmas[too_long:].clamp(max=1)
    weight = (U * sigmas) @ V.T
    ball = UnitBall(6)
    for _ in range(4):  # to find v; a weight inside the ball is left alone
        ball.project(weight.clone())
    ball.project(weight)
    torch.testing.assert_close(weight, (U * sigmas.clamp(max=1)) @ V.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 2e-4])
def test_a_near_tie_that_the_power_method_cannot_resolve_is_projected(gap):
    """v starts at the second singular vector, which is a fixed point of the power method."""
    Q = torch.linalg.qr(normal(12, 12)).Q
    sigmas = torch.cat([torch.tensor([1 + gap]), torch.ones(11)])
    weight = Q * sigmas
    ball = UnitBall(12)
    ball.v.copy_(torch.eye(12)[1].expand(3, 12))
    ball.project(weight)
    assert torch.linalg.matrix_norm(weight, ord=2) <= SLACK


def test_a_zero_weight_stays_zero():
    weight = torch.zeros(4, 6)
    UnitBall(6).project(weight)
    assert torch.equal(weight, torch.zeros(4, 6))


@pytest.mark.parametrize("activation", ["maxmin", "relu"])
def test_the_critic_is_inside_the_ball_when_built_and_after_every_step(activation):
    model = game(activation=activation)
    assert norms(model).max() <= SLACK
    largest = [norms(model).max() for _ in play(model, normal(200, 2) + 3, 40, rate=3e-2)]
    assert max(largest) <= SLACK
    assert max(largest) > 0.99, "the constraint binds"


@pytest.mark.parametrize("activation", ["maxmin", "relu"])
def test_the_critic_is_1_lipschitz(activation):
    model = game(activation=activation)
    list(play(model, normal(200, 2) + 3, 40))
    y = 4 * normal(500, 2)
    y.requires_grad_()
    (gradients,) = torch.autograd.grad(model.critic(y).sum(), y)
    assert gradients.norm(dim=1).max() <= SLACK ** len(model.critic.linears)
    a, b = 3 * normal(500, 2, seed=1), 3 * normal(500, 2, seed=2)
    rise = (model.critic(a) - model.critic(b)).abs()
    assert (rise <= SLACK**3 * (a - b).norm(dim=1) + 1e-6).all()


def test_maxmin_permutes_and_keeps_gradient_norms():
    x = normal(7, 10).requires_grad_()
    back = normal(7, 10, seed=1)
    (gradients,) = torch.autograd.grad(MaxMin()(x), x, back)
    torch.testing.assert_close(gradients.norm(dim=1), back.norm(dim=1))
    assert torch.equal(MaxMin()(x).sort(dim=1).values, x.sort(dim=1).values)
    assert torch.equal(MaxMin()(torch.tensor([[1.0, 2.0, 4.0, 3.0]])), torch.tensor([[2.0, 4.0, 1.0, 3.0]]))


# The value of the game


def train_critic(critic: LipschitzMLP, real: torch.Tensor, fake: torch.Tensor, steps: int) -> list[float]:
    optimiser = torch.optim.Adam(critic.parameters(), lr=1e-2)
    values = []
    for _ in range(steps):
        optimiser.zero_grad()
        value = critic(real).mean() - critic(fake).mean()
        values.append(value.item())
        (-value).backward()
        optimiser.step()
        critic.project()
    return values


SHIFT = normal(256, 1) + 3, normal(256, 1, seed=1)
SCALES = 2 * normal(256, 1), normal(256, 1, seed=1)


@pytest.mark.parametrize(("real", "fake", "share"), [(*SHIFT, 0.99), (*SCALES, 0.95)], ids=["shift", "scales"])
def test_the_best_critic_reaches_the_exact_distance_and_none_exceeds_it(real, fake, share):
    """W1 of the same finite samples."""
    torch.manual_seed(0)
    exact = wasserstein_distance(real[:, 0], fake[:, 0])
    values = train_critic(LipschitzMLP(1, [16, 16, 16]), real, fake, 400)
    assert max(values) <= SLACK**4 * exact + 1e-5
    assert max(values) >= share * exact


def test_relu_cannot_fit_the_distance_of_two_scales():
    """Its best critic is |y|, and half of a ReLU network's gradient norm is lost at the kink."""
    torch.manual_seed(0)
    exact = wasserstein_distance(*(sample[:, 0] for sample in SCALES))
    values = train_critic(LipschitzMLP(1, [16, 16, 16], activation=torch.nn.ReLU), *SCALES, 400)
    assert max(values) < 0.75 * exact


def test_losses_by_hand():
    """T(y) = y and G(z) = 5: reals of mean 2 give the critic E T(y) - E T(G) = -3, the generator -5."""
    model = SNWGAN([1], None, latent=1, hidden=[])
    with torch.no_grad():
        model.critic.linears[0].weight.fill_(1.0)
        model.generator[0].weight.zero_()
        model.generator[0].bias.fill_(5.0)
    x = torch.tensor([[1.0], [3.0]])
    critic, generator = (objective.loss(x, NOISE) for objective in model.objectives())
    assert (critic.value.item(), critic.terms["wasserstein"].item()) == (3.0, -3.0)
    assert (generator.value.item(), generator.terms["generator"].item()) == (-5.0, -5.0)


def test_the_generator_answers_with_fresh_fakes():
    model, x = game(), normal(8, 2)
    fakes = []
    model.generator.register_forward_hook(lambda module, inputs, output: fakes.append(inputs[0]))
    for objective in model.objectives():
        objective.loss(x, NOISE)
    assert not torch.equal(fakes[0], fakes[1])


def test_the_generator_moves_at_each_n_dis_th_minibatch():
    model = game(n_dis=3)
    assert [objective.name for objective in model.objectives()] == ["critic", "generator"]
    moved = []
    before = model.generator[0].weight.detach().clone()
    reports = []
    for report in play(model, normal(100, 2), 7):
        reports.append(report)
        moved.append(not torch.equal(model.generator[0].weight, before))
        before = model.generator[0].weight.detach().clone()
    assert moved == [False, False, True, False, False, True, False]
    assert reports[-1].moves == {"critic": 7, "generator": 2}


def test_the_game_brings_the_generator_to_the_data():
    """A blob at (4, -4) of standard deviation 0.5, from fakes that start 3 standard deviations off."""
    target = torch.tensor([4.0, -4.0])
    model = game(n_dis=2)
    model.warm_start(0.5 * normal(512, 2) + target, NOISE)
    with torch.no_grad():
        model.generator[-1].bias.add_(3.0)
    reports = list(play(model, 0.5 * normal(512, 2) + target, 400, report_every=50, rate=5e-3, batch=64))
    assert reports[-1].terms["critic.wasserstein"] < 0.1 * reports[0].terms["critic.wasserstein"]
    with torch.no_grad():
        assert (model.sample(1000, NOISE).mean(0) - target).abs().max() < 0.25


def test_samples_of_levels_use_all_of_them():
    torch.manual_seed(0)
    model = SNWGAN([1, 2, 2], 17, latent=4, hidden=[8])
    with torch.no_grad():
        model.generator[-2].weight.mul_(30)
    x = model.sample(500, NOISE)
    assert set(x.unique().tolist()) == set(range(17))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_dis": 0}, "n_dis = 0"),
        ({"latent": 0}, "latent = 0"),
        ({"activation": "maxmim"}, "did you mean 'maxmin'"),
        ({"hidden": [8], "critic_hidden": [8, 7]}, r"critic_hidden\[1\] = 7"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, message):
    with pytest.raises(ConfigError, match=message) as raised:
        game(**arguments)
    assert "\n" not in str(raised.value)


def test_an_odd_width_is_fine_with_relu():
    assert game(activation="relu", critic_hidden=[7]).criticise(normal(3, 2)).shape == (3,)
