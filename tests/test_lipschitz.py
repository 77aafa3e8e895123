"""Operators, their norms, and what keeps a critic near slope 1."""

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import nn

from gen_models.adversarial.conv_wgan import ConvWGAN
from gen_models.adversarial.wasserstein import GradientPenalty, clip_weights
from gen_models.adversarial.wgan import WGAN
from gen_models.engine import Training, fit
from gen_models.errors import ConfigError
from gen_models.layers.convolution_norm import ConvolutionBall
from gen_models.layers.lipschitz import LipschitzMLP, MaxMin
from gen_models.layers.lipschitz_conv import LipschitzConv
from gen_models.layers.operators import Convolution, Matrix, materialised
from gen_models.layers.spectral_norm import SpectralNorm
from gen_models.noise import Noise

NOISE = Noise(seed=17)
SLACK = 1 + 1e-4
GEOMETRIES = [(1, 4, 8, 8, 3, 2), (3, 2, 7, 5, 5, 2), (2, 6, 4, 4, 3, 1), (4, 4, 9, 6, 3, 3)]


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigma_max(operator, weight: torch.Tensor) -> float:
    return torch.linalg.matrix_norm(materialised(operator, weight.detach().double()), ord=2).item()


def norms(critic: LipschitzConv | LipschitzMLP) -> list[float]:
    """The exact operator norm of each layer."""
    if isinstance(critic, LipschitzMLP):
        return [sigma_max(Matrix(linear.in_features), linear.weight) for linear in critic.linears]
    *convs, last = critic.layers
    found = [sigma_max(operator, conv.weight) for operator, conv in zip(critic.operators, convs, strict=True)]
    return [*found, sigma_max(Matrix(last.in_features), last.weight)]


def play(model: nn.Module, x: torch.Tensor, steps: int, rate: float = 1e-2):
    class Rows:
        def at(self, step):
            return x[NOISE.at(step).permutation("rows", len(x))[:32]]

    optimisers = {
        o.name: torch.optim.Adam(o.module.parameters(), lr=rate, betas=(0.0, 0.9)) for o in model.objectives()
    }
    return fit(Training(model, optimisers), Rows(), NOISE, steps=steps, report_every=1)


# Operators


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_adjoint_of_a_convolution_is_its_transpose(geometry):
    inputs, outputs, height, width, kernel, stride = geometry
    operator, weight = (
        Convolution((inputs, height, width), stride, kernel // 2),
        normal(outputs, inputs, kernel, kernel),
    )
    matrix = materialised(operator, weight)
    v = normal(3, inputs, height, width, seed=1)
    torch.testing.assert_close(operator(weight, v).flatten(1), v.flatten(1) @ matrix.mT)
    u = normal(*operator(weight, v).shape, seed=2)
    torch.testing.assert_close(operator.adjoint(weight, u).flatten(1), u.flatten(1) @ matrix)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_projected_kernel_is_inside_the_ball_of_its_operator(geometry, dtype):
    inputs, outputs, height, width, kernel, stride = geometry
    operator = Convolution((inputs, height, width), stride, kernel // 2)
    weight = 3 * normal(outputs, inputs, kernel, kernel).to(dtype)
    ConvolutionBall(operator).to(dtype).project(weight)
    assert 1 - 1e-4 <= sigma_max(operator, weight) <= SLACK


def test_a_kernel_inside_the_ball_is_left_alone():
    operator, weight = Convolution((2, 6, 6), 2, 1), normal(3, 2, 3, 3)
    weight /= 1.01 * sigma_max(operator, weight)
    projected = weight.clone()
    ConvolutionBall(operator).double().project(projected)
    assert torch.equal(projected, weight)


def test_a_smooth_kernel_whose_singular_values_nearly_tie_is_projected():
    """A blur over a large image: the power method creeps, as the largest values differ by a thousandth."""
    operator, weight = Convolution((1, 24, 24), 1, 1), torch.ones(1, 1, 3, 3, dtype=torch.float64)
    ConvolutionBall(operator).double().project(weight)
    assert sigma_max(operator, weight) <= SLACK


def test_the_norm_of_the_reshaped_kernel_is_another_number():
    """Here the kernel's is 3 while the operator's nears 9: the bound by the kernel alone would be three times off."""
    operator, weight = Convolution((1, 24, 24), 1, 1), torch.ones(1, 1, 3, 3, dtype=torch.float64)
    assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(3)
    assert 8.5 < sigma_max(operator, weight) < 9


# What keeps a critic 1-Lipschitz


@pytest.mark.parametrize("activation", ["maxmin", "relu"])
def test_a_convolutional_critic_is_inside_the_ball_after_every_step(activation):
    torch.manual_seed(0)
    model = ConvWGAN([1, 8, 8], 17, latent=4, channels=4, activation=activation)
    x = torch.randint(0, 17, (200, 1, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    assert max(norms(model.critic)) <= SLACK
    largest = [max(norms(model.critic)) for _ in play(model, x, 30, rate=3e-2)]
    assert max(largest) <= SLACK
    assert max(largest) > 0.999, "the constraint binds"


def steepest(critic: nn.Module, y: torch.Tensor, steps: int = 20, rate: float = 0.1) -> float:
    """The largest |dT/dy| that ascent of it over y finds."""
    found, draws = 0.0, torch.Generator().manual_seed(steps)
    for _ in range(steps):
        y = y.detach().requires_grad_()
        (gradients,) = torch.autograd.grad(critic(y).sum(), y, create_graph=True)
        slopes = gradients.flatten(1).norm(dim=1)
        found = max(found, slopes.max().item())
        if not slopes.requires_grad:
            break
        (uphill,) = torch.autograd.grad(slopes.sum(), y, allow_unused=True)
        noise = 0.3 * torch.randn(y.shape, generator=draws, dtype=y.dtype)
        y = y + rate * (noise if uphill is None else uphill + noise)  # piecewise linear: it walks to other pieces
    return found


CRITICS = {
    "mlp": (lambda how: WGAN([2], None, latent=2, hidden=[16, 16], constraint=how), (2,)),
    "conv": (lambda how: ConvWGAN([1, 8, 8], None, latent=2, channels=4, constraint=how), (1, 8, 8)),
}


@pytest.mark.parametrize("kind", CRITICS)
@pytest.mark.parametrize(("how", "slack"), [("projection", 1.001), ("normalisation", 1.02)])
def test_no_search_finds_a_slope_above_1(kind, how, slack):
    torch.manual_seed(0)
    constructor, shape = CRITICS[kind]
    model = constructor(how)
    list(play(model, normal(200, *shape).float() + 3, 25))
    critic = model.critic.eval()
    assert steepest(critic, 3 * normal(100, *shape).float()) <= slack ** len(norms(critic))


@pytest.mark.parametrize("kind", CRITICS)
def test_normalised_layers_have_norm_1_up_to_the_power_method(kind):
    torch.manual_seed(0)
    constructor, shape = CRITICS[kind]
    model = constructor("normalisation")
    assert norms(model.critic.eval()) == pytest.approx([1] * len(norms(model.critic)), abs=0.02)
    list(play(model, normal(200, *shape).float() + 3, 25, rate=1e-3))
    assert norms(model.critic.eval()) == pytest.approx([1] * len(norms(model.critic)), abs=0.02)


def test_the_power_method_steps_once_for_a_forward_in_training_and_never_in_evaluation():
    weight = normal(5, 4)
    spectral = SpectralNorm(Matrix(4), weight)
    spectral.v.copy_(torch.tensor([[1.0, 0, 0, 0]]))
    v = weight.mT @ weight[:, 0]
    before = spectral.eval().u.clone()
    spectral(weight)
    assert torch.equal(spectral.u, before)
    spectral.train()(weight)
    torch.testing.assert_close(spectral.v[0], v / v.norm())
    torch.testing.assert_close(spectral.u[0], weight @ v / (weight @ v).norm())
    assert set(dict(spectral.named_buffers())) == {"u", "v"}


def test_the_gradient_of_a_normalised_weight_is_that_of_the_exact_norm():
    weight = normal(4, 6).requires_grad_()
    spectral = SpectralNorm(Matrix(6), weight)
    spectral.iterate(weight, 2000)
    direction = normal(4, 6, seed=1)
    (found,) = torch.autograd.grad((direction * spectral.eval()(weight)).sum(), weight)
    (exact,) = torch.autograd.grad((direction * weight / torch.linalg.matrix_norm(weight, ord=2)).sum(), weight)
    torch.testing.assert_close(found, exact, rtol=1e-8, atol=1e-8)


# Penalty and clipping


class Slope(nn.Module):
    """T(y) = s |w' y| with |w| = 1: slope s wherever it has one."""

    def __init__(self, slope: float):
        super().__init__()
        self.weight = nn.Parameter(slope * torch.tensor([0.6, 0.8], dtype=torch.float64))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return (y @ self.weight).abs()


@pytest.mark.parametrize("slope", [1.0, 0.5, 3.0])
def test_the_penalty_is_the_squared_distance_of_the_slope_from_1(slope):
    critic = Slope(slope)
    loss = GradientPenalty(weight=10.0)(critic, normal(9, 2), normal(9, 2, seed=1), NOISE)
    assert loss.value.item() == pytest.approx(10 * (slope - 1) ** 2, abs=1e-12)
    assert loss.terms["slope"].item() == pytest.approx(slope, rel=1e-12)
    (gradient,) = torch.autograd.grad(loss.value, critic.weight)
    expected = 20 * (slope - 1) * critic.weight.detach() / slope  # d/dw 10 (|w| - 1)^2, through two derivatives
    torch.testing.assert_close(gradient, expected, atol=1e-10, rtol=1e-10)


def test_the_penalty_is_taken_between_reals_and_fakes():
    seen = []

    class Spy(Slope):
        def forward(self, y):
            seen.append(y.detach())
            return super().forward(y)

    y, fakes = torch.zeros(50, 2, dtype=torch.float64), torch.ones(50, 2, dtype=torch.float64)
    GradientPenalty()(Spy(1.0), y, fakes, NOISE)
    assert torch.equal(seen[0][:, 0], seen[0][:, 1]), "one e for all of a row"
    assert 0 <= seen[0].min() < 0.1 and 0.9 < seen[0].max() <= 1


def test_clipped_weights_are_within_the_limit_after_every_step():
    torch.manual_seed(0)
    model = WGAN([2], None, latent=2, hidden=[8], constraint="clipping", clip=0.05)
    for _ in play(model, normal(100, 2).float(), 5):
        assert max(p.abs().max() for p in model.critic.parameters()) <= 0.05
    clip_weights(model.critic, 0.01)
    assert max(p.abs().max() for p in model.critic.parameters()) <= 0.01


@pytest.mark.parametrize(("kept_by", "penalty"), [("normalisation", None), ("nothing", GradientPenalty(10.0))])
def test_the_critics_value_of_a_shift(kept_by, penalty):
    """W1 of the same finite samples; under the penalty slope 1 + W1/(2 weight), where s W1 - weight (s - 1)^2 peaks."""
    torch.manual_seed(0)
    real, fake = normal(256, 1).float() + 3, normal(256, 1, seed=1).float()
    critic = LipschitzMLP(1, [16, 16], kept_by=kept_by)
    with torch.no_grad():
        if penalty and critic(real).mean() < critic(fake).mean():  # slope -1 is a peak of its own
            critic.linears[-1].weight.neg_()
    optimiser = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for step in range(150):
        optimiser.zero_grad()
        value = critic(real).mean() - critic(fake).mean()
        extra = penalty(critic, real, fake, NOISE.at(step)).value if penalty else 0.0
        (extra - value).backward()
        optimiser.step()
    exact = wasserstein_distance(real[:, 0], fake[:, 0])
    expected = exact * (1 + exact / 20) if penalty else exact
    assert value.item() == pytest.approx(expected, rel=0.03)


def test_maxmin_sorts_neighbouring_channels_of_images():
    x = torch.tensor([1.0, 2.0, 4.0, 3.0]).view(1, 4, 1, 1).expand(1, 4, 2, 3)
    assert MaxMin()(x)[0, :, 1, 2].tolist() == [2.0, 4.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WGAN([2], None, latent=2, hidden=[8], constraint="penalised"), "did you mean 'penalty'"),
        (lambda: WGAN([2], None, latent=2, hidden=[8], penalty=0.0), "penalty = 0.0"),
        (lambda: WGAN([2], None, latent=2, hidden=[8], clip=-1.0), "clip = -1.0"),
        (lambda: ConvWGAN([1, 8, 8], 17, latent=2, channels=4, critic_channels=3), "critic_channels = 3"),
        (lambda: ConvWGAN([5], None, latent=2, channels=4), r"event_shape = \[5\] is no image"),
        (lambda: LipschitzMLP(2, [4], kept_by="project"), "did you mean 'projection'"),
    ],
)
def test_what_cannot_be_built_says_why(call, message):
    with pytest.raises(ConfigError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
