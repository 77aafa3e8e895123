"""The floor of densities: independent columns reach their entropy, dependent ones miss by the mutual information."""

import math

import pytest
import torch

from gen_models.layers.levels import coordinates
from pipelines.evaluation.metrics.column_histogram import independent_columns_log_prob
from tests.nudges import normal

ROWS = 20_000
NORMAL = 0.5 * math.log(2 * math.pi * math.e)  # nats of N(0, 1)


def floor_nats(rows, columns) -> float:
    return -independent_columns_log_prob(*rows.split(ROWS), coordinates(columns, [rows.shape[1]])).mean().item()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e6])
def test_independent_columns_reach_their_entropy_whatever_their_units(scale):
    rows = normal(3 * ROWS, 2)
    rows[:, 1] = torch.special.ndtr(rows[:, 1])  # uniform on [0, 1], whose nats are 0
    assert floor_nats(scale * rows, [None, None]) == pytest.approx(NORMAL + 2 * math.log(scale), abs=0.02)


@pytest.mark.parametrize("rho", [0.5, 0.95])
def test_dependent_columns_miss_their_entropy_by_the_mutual_information(rho):
    rows = normal(3 * ROWS, 2)
    rows[:, 1] = rho * rows[:, 0] + math.sqrt(1 - rho**2) * rows[:, 1]
    information = -0.5 * math.log(1 - rho**2)
    entropy = 2 * NORMAL - information
    assert floor_nats(rows, [None, None]) - entropy == pytest.approx(information, abs=0.03)


def test_few_rows_get_wide_bins_and_come_near_too():
    few = normal(10_400, 1).split([200, 200, 10_000])
    found = -independent_columns_log_prob(*few, coordinates([None], [1])).mean().item()
    assert NORMAL < found < NORMAL + 0.15


def test_discrete_columns_reach_the_entropy_of_their_values_and_a_step_counts_as_a_density():
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(0, 6, (3 * ROWS, 1), generator=generator).double()
    flag = (torch.rand(3 * ROWS, 1, generator=generator) < 0.2).double()
    kind = torch.nn.functional.one_hot(torch.randint(0, 3, (3 * ROWS,), generator=generator), 3).double()
    entropy = math.log(6) + math.log(3) - 0.2 * math.log(0.2) - 0.8 * math.log(0.8)
    rows = torch.cat([0.25 * whole, flag, kind], dim=1)
    assert floor_nats(rows, [0.25, "flag", {"category": 3}]) == pytest.approx(entropy + math.log(0.25), abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounded_numbers_get_no_density_from_bins_narrower_than_the_rounding(dtype):
    """Nobody said that these lie on a grid; the floor is that of the same numbers with their step."""
    rows = ((normal(450, 1) * 0.8 + 5.8) * 10).round() / 10  # such as the lengths of leaves in centimetres
    rows = rows.to(dtype)
    with_step, without = (
        -independent_columns_log_prob(*rows.split(150), coordinates([step], [1])).mean().item() for step in (0.1, None)
    )
    assert without == pytest.approx(with_step, abs=0.02)
    assert without == pytest.approx(NORMAL + math.log(0.8), abs=0.25)


@pytest.mark.parametrize(("step", "values"), [(1.0, [5, 10, 20, 50, 100]), (0.1, [0.3, 0.4]), (0.01, [0.99, 3.99])])
def test_a_column_with_a_step_that_uses_few_of_its_places_keeps_their_mass(step, values):
    """Prices end in .99, and still P(x)/step is their density."""
    places = torch.randint(0, len(values), (9000, 1), generator=torch.Generator().manual_seed(0))
    rows = torch.tensor(values, dtype=torch.float64)[places]
    found = -independent_columns_log_prob(*rows.split(3000), coordinates([step], [1])).mean().item()
    assert found == pytest.approx(math.log(len(values)) + math.log(step), abs=0.02)


@pytest.mark.parametrize("step", [None, 1.0])
def test_whole_numbers_up_to_billions_take_little_memory(step):
    rows = torch.randint(0, 2**31, (900, 1), generator=torch.Generator().manual_seed(0)).double()
    rows[:2, 0] = torch.tensor([7.0, 8.0])
    found = -independent_columns_log_prob(*rows.split(300), coordinates([step], [1])).mean().item()
    assert found == pytest.approx(31 * math.log(2), abs=0.3)


@pytest.mark.parametrize("step", [None, 0.5])
def test_it_is_a_density_with_mass_one_also_outside_what_was_seen(step):
    rows = normal(300, 1)
    rows = rows if step is None else (rows / step).round() * step
    reach, width = 400.0, step or 0.004
    x = torch.arange(-reach, reach, width, dtype=torch.float64)[:, None]
    log_p = independent_columns_log_prob(rows[:200], rows[200:], x, coordinates([step], [1]))
    assert log_p.isfinite().all()
    assert (log_p.exp() * width).sum().item() == pytest.approx(1, abs=2e-3)


def test_a_constant_column_and_a_value_never_seen_are_finite():
    train = torch.zeros(50, 2).double()
    test = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double()
    log_p = independent_columns_log_prob(train, train, test, coordinates([None, "flag"], [2]))
    assert log_p.isfinite().all() and log_p[0] > log_p[1]
