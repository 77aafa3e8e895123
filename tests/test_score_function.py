"""Laws of gradients of the bound: two estimators of one mean, and control variates that leave it where it is."""

import math

import pytest
import torch

from gen_models.autoencoders.gradients import RunningMean, leave_one_out, with_gradient_of
from gen_models.autoencoders.vae import VAE
from gen_models.errors import ConfigError
from gen_models.noise import Noise

NOISE = Noise(seed=17)
ROWS, DRAWS = 4, 6000


def rows() -> torch.Tensor:
    return torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def gradients(x: torch.Tensor, draws: int = DRAWS, **arguments) -> torch.Tensor:
    """(draws, parameters): an estimate of the whole gradient from each step's noise."""
    torch.manual_seed(0)
    model = VAE([3], None, **{"latent": 2, "hidden": [4], "sigma": 0.8, "beta": 1.5, **arguments}).double().train()
    if model.control_variate == "running_mean":
        for step in range(30):
            model.loss(x, NOISE.at(10_000 + step))
        model.eval()  # the mean of the past is then the same for all draws
    parameters = list(model.parameters())
    found = []
    for step in range(draws // 100):  # the rows a hundred times over: a hundred draws at the cost of one
        loss = model.loss(x.repeat(100, 1), NOISE.at(step)).value
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    return torch.stack(found)


@pytest.fixture(scope="module")
def pathwise() -> torch.Tensor:
    return gradients(rows())


@pytest.mark.parametrize(
    ("control_variate", "samples"), [("none", 1), ("none", 3), ("leave_one_out", 3), ("running_mean", 1)]
)
def test_the_score_function_has_the_mean_of_the_reparameterised_gradient(pathwise, control_variate, samples):
    score = gradients(rows(), gradient="score_function", control_variate=control_variate, samples=samples)
    error = ((pathwise.var(0) + score.var(0)) / len(score)).sqrt()
    away = ((pathwise.mean(0) - score.mean(0)).abs() / error.clamp_min(1e-12))[error > 1e-10]
    assert (away > 3).double().mean() < 0.06
    assert away.max() < 4.3  # of some 60 numbers, with 60 means each: Student's t, not the normal's 4


def test_control_variates_lower_the_variance():
    spread = {
        name: gradients(rows(), gradient="score_function", control_variate=name, samples=3).var(0).sum().item()
        for name in ("none", "leave_one_out", "running_mean")
    }
    assert spread["running_mean"] < 0.8 * spread["none"]
    assert spread["leave_one_out"] < 0.5 * spread["none"]


def test_terms_and_value_are_those_of_the_reparameterised_loss():
    """Only the gradient differs: what is watched, swept and drawn as a curve is the same number."""
    torch.manual_seed(0)
    plain = VAE([3], None, latent=2, hidden=[4], samples=2, beta=2.0).double()
    torch.manual_seed(0)
    score = VAE([3], None, latent=2, hidden=[4], samples=2, beta=2.0, gradient="score_function").double()
    first, second = plain.loss(rows(), NOISE), score.loss(rows(), NOISE)
    assert first.terms == second.terms
    assert torch.equal(first.value, second.value)


def test_more_samples_are_a_mean_over_draws():
    """Of K draws the loss is the mean of K losses; its spread falls as 1/sqrt(K)."""
    torch.manual_seed(0)
    model = VAE([3], None, latent=2, hidden=[4]).double()
    spreads = []
    for samples in (1, 16):
        model.samples = samples
        with torch.no_grad():
            values = torch.stack([model.loss(rows(), NOISE.at(step)).value for step in range(300)])
        spreads.append((values.mean().item(), values.std().item()))
    (one, wide), (many, narrow) = spreads
    assert narrow == pytest.approx(wide / 4, rel=0.2)
    assert abs(one - many) < 4 * math.hypot(wide, narrow) / math.sqrt(300)


def test_leave_one_out_by_hand():
    values = torch.tensor([[1.0, 2.0, 6.0]])
    torch.testing.assert_close(leave_one_out(values), torch.tensor([[4.0, 3.5, 1.5]]))


def test_a_running_mean_is_the_mean_of_the_first_batches_and_0_before():
    running = RunningMean()
    assert running.mean.item() == 0
    for value in (1.0, 2.0, 6.0):
        running.add(torch.full((4, 2), value))
    assert running.mean.item() == pytest.approx(3)


def test_a_value_with_the_gradient_of_another():
    x = torch.tensor(3.0, requires_grad=True)
    value = with_gradient_of(x.square(), 5 * x)
    assert value.item() == 9
    assert torch.autograd.grad(value, x)[0].item() == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gradient": "score"}, "did you mean 'score_function'"),
        ({"gradient": "score_function", "control_variate": "leave_one_out"}, "samples = 1 leaves nothing"),
        ({"samples": 0}, "samples = 0"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, message):
    with pytest.raises(ConfigError, match=message):
        VAE([3], None, latent=2, hidden=[], **arguments)
