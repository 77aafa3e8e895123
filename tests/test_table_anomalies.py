"""Laws of the measures of table_anomalies: densities integrate to 1, a left-out row is a stranger, bits repeat."""

from functools import partial

import pytest
import torch

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


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="at least 4"):
        TableAnomalies(2).fit(banana(3), NOISE)


def _fitted(train: torch.Tensor) -> TableAnomalies:
    torch.manual_seed(0)
    model = TableAnomalies(train.shape[1])
    model.fit(train, NOISE)
    return model
