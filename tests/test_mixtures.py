"""Laws of mixtures: EM never lowers the likelihood, equals scikit-learn's, and obeys its floor."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from sklearn.mixture import GaussianMixture as Reference

from gen_models.errors import ConfigError
from gen_models.mixtures.gaussian_mixture import COVARIANCES, MIN_VARIANCE, WEIGHTS, GaussianMixture
from gen_models.mixtures.kmeans import kmeans_plus_plus
from gen_models.noise import Noise

NOISE = Noise(seed=3)
each_covariance = pytest.mark.parametrize("covariance", COVARIANCES)


def clusters(n: int = 300, dim: int = 2) -> torch.Tensor:
    """Three overlapping clusters."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    x[:, 0] += 3.0 * torch.arange(n).remainder(3)
    x[:, -1] += 0.8 * x[:, 0]
    return x


def mixture(
    covariance: str, components: int = 3, dim: int = 2, em_steps: int = 0, weights: str = "learned"
) -> GaussianMixture:
    torch.manual_seed(0)
    return GaussianMixture(
        [dim], None, components=components, covariance=covariance, em_steps=em_steps, weights=weights
    ).double()


def covariances(model: GaussianMixture) -> torch.Tensor:
    L = model.scale_tril().detach()
    return L @ L.mT


@each_covariance
def test_em_never_lowers_the_likelihood(covariance):
    model, x = mixture(covariance), clusters()
    model.warm_start(x, NOISE)
    y = model.data_scale(x, NOISE)
    values = torch.stack([model.em_step(y) for _ in range(60)])
    assert values[-1] > values[0] + 1e-3
    assert values.diff().min() > -1e-12


@each_covariance
def test_em_never_lowers_the_likelihood_on_the_floor(covariance):
    """Two equal columns and a repeated row: without the floor there is no maximum to climb to."""
    x = clusters()
    y = torch.stack([x[:, 0], x[:, 0]], dim=1)
    y[:40] = 7.0
    model = mixture(covariance, components=4)
    model.start_at(kmeans_plus_plus(y, 4, NOISE), y)
    values = torch.stack([model.em_step(y) for _ in range(60)])
    assert values.diff().min() > -1e-9
    assert torch.linalg.eigvalsh(covariances(model)).min() > (1 - 1e-6) * MIN_VARIANCE


@each_covariance
def test_em_equals_scikit_learn_from_the_same_start(covariance):
    y = clusters(dim=3)
    model = mixture(covariance, dim=3)
    model.start_at(y[:3], y)
    precision = 1 / covariances(model)[0, 0, 0].item()
    start = {
        "full": np.stack([precision * np.eye(3)] * 3),
        "diagonal": np.full((3, 3), precision),
        "spherical": np.full(3, precision),
    }[covariance]
    reference = Reference(
        3,
        covariance_type={"full": "full", "diagonal": "diag", "spherical": "spherical"}[covariance],
        reg_covar=0,
        tol=0,
        max_iter=25,
        weights_init=np.full(3, 1 / 3),
        means_init=y[:3].numpy(),
        precisions_init=start,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 25 steps are not all the steps there are
        reference.fit(y.numpy())
    for _ in range(25):
        model.em_step(y)
    np.testing.assert_allclose(model.means.detach(), reference.means_, rtol=1e-9)
    np.testing.assert_allclose(model.logits.detach().softmax(0), reference.weights_, rtol=1e-9)
    np.testing.assert_allclose(model.log_density(y).detach(), reference.score_samples(y.numpy()), rtol=1e-8)
    np.testing.assert_allclose(model.encode(y).detach(), reference.predict_proba(y.numpy()), atol=1e-8)


@each_covariance
def test_density_in_the_plane_integrates_to_one(covariance):
    model, x = mixture(covariance, em_steps=10), clusters()
    model.warm_start(x, NOISE)
    first, second = (torch.linspace(column.min() - 8, column.max() + 8, 400, dtype=x.dtype) for column in x.T)
    cell = (first[1] - first[0]) * (second[1] - second[0])
    with torch.no_grad():
        total = model.log_prob(torch.cartesian_prod(first, second)).exp().sum() * cell
    assert abs(total.item() - 1) < 1e-6


def test_one_component_is_the_gaussian_of_the_sample():
    model, x = mixture("full", components=1, em_steps=1), clusters()
    model.warm_start(x, NOISE)
    exact = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0))
    torch.testing.assert_close(model.log_prob(x), exact.log_prob(x))


def test_log_prob_by_hand():
    """Two unit Gaussians at 0 and 2 with weights 1/4 and 3/4, at x = 0: log((1/4 + 3/4 e^-2)/sqrt(2 pi))."""
    model = GaussianMixture([1], None, components=2, covariance="diagonal").double()
    with torch.no_grad():
        model.means.copy_(torch.tensor([[0.0], [2.0]]))
        model.logits.copy_(torch.tensor([1.0, 3.0]).log())
    expected = np.log((0.25 + 0.75 * np.exp(-2)) / np.sqrt(2 * np.pi))
    assert model.log_prob(torch.zeros(1, 1, dtype=torch.float64)).item() == pytest.approx(expected, abs=1e-7)


@each_covariance
def test_draws_have_the_mixtures_moments(covariance):
    model, x = mixture(covariance, em_steps=10), clusters()
    model.warm_start(x, NOISE)
    n = 40_000
    draws = model.draw(n, NOISE).detach()
    weights, means = model.logits.detach().softmax(0), model.means.detach()
    mean = weights @ means
    spread = (means - mean).mT @ (weights[:, None] * (means - mean))
    covariance_of_mixture = spread + (weights[:, None, None] * covariances(model)).sum(0)
    torch.testing.assert_close(draws.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(draws.T), covariance_of_mixture, atol=0.05, rtol=0)


@each_covariance
def test_what_follows_a_gradient_step_restores_the_floor(covariance):
    model, x = mixture(covariance), clusters()
    model.warm_start(x, NOISE)
    with torch.no_grad():
        model.log_scales -= 20
    assert torch.linalg.eigvalsh(covariances(model)).min() < 1e-12
    model.objectives()[0].after_step()
    assert torch.linalg.eigvalsh(covariances(model)).min() > (1 - 2e-3) * MIN_VARIANCE


@each_covariance
def test_projection_leaves_what_obeys_the_floor_untouched(covariance):
    model = mixture(covariance, em_steps=5)
    model.warm_start(clusters(), NOISE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.project()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def three_in_the_plane(n: int = 1500) -> tuple[torch.Tensor, torch.Tensor]:
    """The chapter's example: a third of the rows from each of three Gaussians in the plane; rows and components."""
    z = torch.arange(n).remainder(3)
    means = torch.tensor([[-2.0, 0.0], [2.0, 0.5], [0.0, 3.0]], dtype=torch.float64)
    factors = torch.tensor([[[0.6, 0.0], [0.3, 0.5]], [[0.5, 0.0], [-0.4, 0.7]], [[0.8, 0.0], [0.0, 0.4]]])
    epsilon = torch.randn(n, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return means[z] + torch.einsum("nij,nj->ni", factors.double()[z], epsilon), z


@pytest.mark.parametrize("weights", WEIGHTS)
def test_gradients_reach_the_optimum_of_em(weights):
    """Two ways up the same hill, from the same start: 400 steps of EM, and 400 of Adam with no step of EM."""
    x, _ = three_in_the_plane()
    by_em, by_gradients = mixture("full", em_steps=0, weights=weights), mixture("full", em_steps=0, weights=weights)
    for model in (by_em, by_gradients):
        model.data_scale.fit(x)
        model.start_at(model.data_scale(x[:3], NOISE), model.data_scale(x, NOISE))
    y = by_em.data_scale(x, NOISE)
    for _ in range(400):
        by_em.em_step(y)
    optimiser = torch.optim.Adam(by_gradients.parameters(), lr=0.05)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 400)
    for _ in range(400):
        optimiser.zero_grad()
        by_gradients.loss(x, NOISE).value.backward()
        optimiser.step()
        by_gradients.project()
        falling.step()
    torch.testing.assert_close(by_gradients.log_prob(x).mean(), by_em.log_prob(x).mean(), rtol=0, atol=1e-6)
    torch.testing.assert_close(by_gradients.means, by_em.means, rtol=0, atol=1e-3)
    torch.testing.assert_close(covariances(by_gradients), covariances(by_em), rtol=0, atol=1e-3)
    shares = by_gradients.logits.softmax(0)
    torch.testing.assert_close(shares, by_em.logits.softmax(0), rtol=0, atol=1e-3)
    if weights == "uniform":
        assert torch.equal(shares, torch.full_like(shares, 1 / 3))


@each_covariance
def test_em_with_uniform_weights_never_lowers_the_likelihood(covariance):
    model, x = mixture(covariance, weights="uniform"), clusters()
    model.warm_start(x, NOISE)
    y = model.data_scale(x, NOISE)
    values = torch.stack([model.em_step(y) for _ in range(40)])
    assert values[-1] > values[0]
    assert values.diff().min() > -1e-12


@each_covariance
def test_responsibilities_are_the_posterior_by_bayes(covariance):
    """p(k|x) p(x) = p(k) p(x|k), with p(x|k) from torch's own Gaussian."""
    model, x = mixture(covariance, em_steps=5), clusters()
    model.warm_start(x, NOISE)
    y = model.data_scale(x, NOISE)
    component = torch.distributions.MultivariateNormal(model.means, covariances(model))
    joint = model.logits.softmax(0) * component.log_prob(y[:, None]).exp()
    torch.testing.assert_close(model.encode(x) * model.log_density(y).exp()[:, None], joint, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(model.encode(x).sum(1), torch.ones_like(x[:, 0]))


def test_responsibilities_find_the_components_that_rows_came_from():
    x, z = three_in_the_plane()
    model = mixture("full", em_steps=60)
    model.warm_start(x, NOISE)
    found = model.encode(x).argmax(dim=1)
    table = torch.stack([torch.bincount(found[z == k], minlength=3) for k in range(3)])
    assert table.amax(dim=1).sum() > 0.98 * len(x)


def test_more_components_than_rows_stay_finite():
    model, x = mixture("full", components=8, em_steps=20), clusters(n=5)
    model.warm_start(x, NOISE)
    assert model.log_prob(x).isfinite().all()


def test_the_likeliest_of_several_starts_is_kept():
    """Each start alone, and then all of them; one start is what it always was."""
    x = torch.tensor(make_moons(400, noise=0.05, random_state=0)[0], dtype=torch.float64)

    def reached(starts: int, noise: Noise) -> float:
        torch.manual_seed(0)
        model = GaussianMixture([2], None, components=4, em_steps=60, starts=starts).double()
        model.warm_start(x, noise)
        return model.log_prob(x).mean().item()

    alone = [reached(1, Noise(3).at(start)) for start in range(4)]
    assert max(alone) > min(alone) + 0.05, "the starts differ, or this shows nothing"
    assert alone[0] == reached(1, Noise(3))
    assert reached(4, Noise(3)) == pytest.approx(max(alone), abs=1e-12)


def test_kmeans_plus_plus_finds_separated_clusters():
    """With clusters 1000 apart a second draw from a cluster already chosen has probability near 1e-6."""
    y = clusters(90) * 0.1
    y[:, 0] += 1000.0 * torch.arange(90).remainder(3)
    for seed in range(10):
        found = kmeans_plus_plus(y, 3, Noise(seed))
        assert set((found[:, 0] / 1000).round().tolist()) == {0.0, 1.0, 2.0}


def test_kmeans_plus_plus_draws_in_proportion_to_the_squared_distance_and_takes_the_better_of_two():
    """Rows at 0 (many), two at 1, one at 2.5: a draw is 1 with probability 2/8.25 and leaves 2.25, 2.5 leaves 2."""
    y = torch.zeros(10_000, 1, dtype=torch.float64)
    y[1:3], y[3] = 1.0, 2.5
    second = torch.stack([kmeans_plus_plus(y, 2, Noise(seed), tries=1)[1, 0] for seed in range(600)])
    assert (second == 1).double().mean().item() == pytest.approx((2 / 8.25) ** 2, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"components": 0}, "components = 0"),
        ({"components": 3, "em_steps": -1}, "em_steps = -1"),
        ({"components": 3, "covariance": "diag"}, "did you mean 'diagonal'"),
        ({"components": 3, "weights": "unifrom"}, "did you mean 'uniform'"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, message):
    with pytest.raises(ConfigError, match=message) as raised:
        GaussianMixture([2], None, **arguments)
    assert "\n" not in str(raised.value)
