"""Laws of the measures of table_anomalies: densities integrate to 1, a left-out row is a stranger, bits repeat."""

from functools import partial

import pytest
import torch
from torch.nn.functional import softplus

from gen_models.analysis import table_anomalies
from gen_models.analysis.contrast import Contrast
from gen_models.analysis.table_anomalies import TableAnomalies
from gen_models.errors import DataError
from gen_models.measures.ranking import auroc
from gen_models.mixtures.kernel_density import COVARIANCES, KernelDensity
from gen_models.mixtures.local_kernels import LocalKernels
from gen_models.noise import Noise

NOISE = Noise(3)


def banana(n: int, noise: Noise = NOISE) -> torch.Tensor:
    """n rows near a parabola."""
    u = noise.normal("banana", (n, 2), like=torch.zeros(1))
    return torch.stack([u[:, 0], u[:, 0].square() - 1 + 0.1 * u[:, 1]], dim=1)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_kernel_density_integrates_to_one_and_leaves_a_row_out_as_a_smaller_table_would(covariance):
    y = banana(60)
    density = KernelDensity(2, covariance=covariance)
    density.fit(y, NOISE)
    ticks = torch.arange(-12, 16, 0.04)
    grid = torch.cartesian_prod(ticks, ticks)
    assert float(density.log_density(grid).exp().sum() * 0.04**2) == pytest.approx(1, abs=1e-3)
    whole = density.left_out(torch.tensor([7]))
    density.centres = torch.cat([density.centres[:7], density.centres[8:]])
    torch.testing.assert_close(whole, density.log_density(y[7:8]), rtol=1e-4, atol=1e-4)


def test_em_on_all_rows_never_lowers_the_left_out_likelihood():
    y, values = banana(200), []
    for steps in range(3):  # the first steps are not damped
        density = KernelDensity(2, shrinkage=0.0, em_steps=steps)
        density.fit(y, NOISE)
        values.append(float(density.left_out(torch.arange(200)).mean()))
    assert values == sorted(values)
    assert values[2] > values[0] + 0.05


def test_local_kernels_measure_in_local_units():
    dense, sparse = 0.1 * banana(100), banana(100) + 20
    local = LocalKernels(2)
    local.fit(torch.cat([dense, sparse]), NOISE)
    near, far = (local.variances[:100].mean(), local.variances[100:].mean())
    assert near < far / 3
    assert local.remoteness(dense[:1] + torch.tensor([[0.5, -0.5]])) > local.remoteness(
        sparse[:1] + torch.tensor([[0.5, -0.5]])
    )


def test_local_kernels_are_a_density_and_count_where_rows_are_unequally_dense(short_fits):
    normal = NOISE.normal("even", (300, 2), like=torch.zeros(1))
    uneven = torch.cat([0.02 * normal[:150], normal[150:] + 8])
    local = LocalKernels(2)
    local.fit(uneven[::5], NOISE)
    ticks = torch.arange(-3, 14, 0.01)
    mass = sum(float(_density(local, torch.cartesian_prod(ticks[k : k + 50], ticks))) for k in range(0, len(ticks), 50))
    assert mass * 0.01**2 == pytest.approx(1, abs=0.01)
    assert float(_fitted(normal).evidence) < 0.2 and float(_fitted(uneven).evidence) > 0.7


def _density(local: LocalKernels, y: torch.Tensor) -> torch.Tensor:
    """The sum over rows y of p(y), from the left-out density of a table to which y is added as the last row."""
    n = len(local.centres)
    squares = (y[:, None] - local.centres).square().sum(dim=2)
    kernels = (-0.5 * squares / local.variances).exp() / (2 * torch.pi * local.variances)
    value = kernels.sum(dim=1) / n
    own = local.left_out_log_density(torch.tensor([0])).exp()
    ours = (-0.5 * (local.centres[:1] - local.centres[1:]).square().sum(dim=1) / local.variances[1:]).exp()
    expected = (ours / (2 * torch.pi * local.variances[1:])).sum() / (n - 1)
    torch.testing.assert_close(own[0], expected, rtol=1e-4, atol=1e-6)
    return value.sum()


def test_a_network_that_learns_rows_by_heart_is_kept_as_it_was_before():
    held, losses = banana(12, Noise(9)), []
    for steps in (25, 350):
        torch.manual_seed(0)
        model = Contrast(2, folds=2, steps=steps)
        model.fit(torch.cat([banana(12), held]), NOISE)
        losses.append(softplus(model.log_odds(banana(500, Noise(10)))).mean())
    assert losses[1] < 1.2 * losses[0]


def test_broken_relations_are_found(monkeypatch):
    monkeypatch.setattr(table_anomalies, "Contrast", partial(Contrast, steps=180))  # which suffice for so few rows
    train, normal = banana(150), banana(100, Noise(4))
    broken = torch.stack([normal[:, 0], normal[:, 1].roll(1)], dim=1)
    is_broken = (torch.arange(200) >= 100).numpy()
    for values in _fitted(train).measures(torch.cat([normal, broken])).values():
        assert auroc(values.numpy(), is_broken) > 0.7  # some rows stay near the parabola by chance


@pytest.fixture
def short_fits(monkeypatch):
    """Networks of a few minibatches, for laws that hold whatever they learned."""
    monkeypatch.setattr(table_anomalies, "Contrast", partial(Contrast, steps=20))


def test_the_same_seed_gives_the_same_bits(short_fits):
    first, second = (_fitted(banana(150)) for _ in range(2))
    x = banana(100, Noise(4))
    assert torch.equal(first.score(x), second.score(x))


def test_a_row_is_scored_alone(short_fits):
    model, x = _fitted(banana(50)), banana(9, Noise(5))
    one_by_one = torch.cat([model.score(row[None]) for row in x])
    torch.testing.assert_close(model.score(x), one_by_one, rtol=1e-4, atol=1e-4)


def test_fewer_rows_than_networks_are_enough(short_fits):
    found = _fitted(banana(table_anomalies.LEAST_ROWS)).score(banana(3, Noise(4)))
    assert torch.isfinite(found).all()


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="at least 4"):
        TableAnomalies(2).fit(banana(3), NOISE)


def _fitted(train: torch.Tensor) -> TableAnomalies:
    torch.manual_seed(0)
    model = TableAnomalies(train.shape[1])
    model.fit(train, NOISE)
    return model
