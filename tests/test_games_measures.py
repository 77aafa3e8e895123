"""Measures of a game's samples where the answer is known."""

import math

import pytest
import torch

from gen_models.errors import ConfigError, DataError
from gen_models.measures.frechet import frechet_distance, gaussian_frechet
from gen_models.measures.manifold import manifold
from gen_models.measures.modes import modes


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Frechet distance


def test_the_distance_of_gaussians_in_one_dimension():
    """(m - n)^2 + (s - t)^2."""
    one = torch.ones(1, dtype=torch.float64)
    found = gaussian_frechet(2 * one, 9 * one[:, None], -one, 4 * one[:, None])
    assert found.item() == pytest.approx(3**2 + (3 - 2) ** 2, rel=1e-12)


def test_the_distance_of_gaussians_with_one_basis_is_that_of_their_standard_deviations():
    Q = torch.linalg.qr(normal(5, 5)).Q
    s, t = normal(5).abs(), normal(5, seed=1).abs()
    S, T = (Q * s.square()) @ Q.mT, (Q * t.square()) @ Q.mT
    zero = torch.zeros(5, dtype=torch.float64)
    assert gaussian_frechet(zero, S, zero, T).item() == pytest.approx((s - t).square().sum().item(), rel=1e-10)


def test_the_distance_is_that_of_the_optimal_linear_map():
    """y = m + A x with A symmetric positive definite transports N(0, S) optimally: d^2 = E|y - x|^2."""
    half, shift = normal(4, 4), normal(4, seed=1)
    S, A = half @ half.mT, torch.eye(4, dtype=torch.float64) + 0.1 * half.mT @ half
    moved = A - torch.eye(4, dtype=torch.float64)
    exact = (moved @ S @ moved.mT).trace() + shift.square().sum()
    found = gaussian_frechet(torch.zeros(4, dtype=torch.float64), S, shift, A @ S @ A.mT)
    assert found.item() == pytest.approx(exact.item(), rel=1e-9)


def test_rows_against_themselves_shifted_rotated_and_singular():
    a = normal(50, 4) @ normal(4, 6, seed=1)  # of rank 4 in 6 dimensions
    assert frechet_distance(a, a).item() == pytest.approx(0, abs=1e-5)
    assert frechet_distance(a, a + 2).item() == pytest.approx(6 * 4, rel=1e-6)
    b, Q = normal(70, 6, seed=2), torch.linalg.qr(normal(6, 6)).Q
    torch.testing.assert_close(frechet_distance(a @ Q, b @ Q), frechet_distance(a, b))
    torch.testing.assert_close(frechet_distance(b, a), frechet_distance(a, b))
    with pytest.raises(DataError, match="found 1"):
        frechet_distance(a[:1], b)


# Precision, recall, density, coverage


def test_a_sample_that_is_the_data_has_everything():
    x = normal(60, 3)
    found = manifold(x, x)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density > 0.9


def test_samples_from_elsewhere_have_nothing():
    assert manifold(normal(40, 2), normal(50, 2, seed=1) + 100) == (0, 0, 0, 0)


def test_half_of_the_data_has_precision_and_half_of_the_recall():
    """Two far clusters, of which the samples know one."""
    real = torch.cat([normal(100, 2), normal(100, 2, seed=1) + 100])
    found = manifold(real, real[:100])
    assert (found.precision, found.recall, found.coverage) == (1, 0.5, 0.5)
    swapped = manifold(real[:100], real)
    assert (swapped.precision, swapped.recall, swapped.coverage) == (0.5, 1, 1)


def test_by_hand_on_a_line():
    """Balls of k = 1 around 0, 1, 3 reach 1, 1, 2; the sample 1.5 lies in those of 1 and 3, the sample 6 in none."""
    real = torch.tensor([[0.0], [1.0], [3.0]])
    found = manifold(real, torch.tensor([[1.5], [6.0]]), neighbours=1)
    assert found.precision == 0.5
    assert found.density == 1.0
    assert found.coverage == pytest.approx(2 / 3)
    assert found.recall == 1.0  # the samples' balls reach 4.5


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="fake: 5 rows have no 5 neighbours"):
        manifold(normal(9, 2), normal(5, 2))


# Modes


def ring() -> torch.Tensor:
    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def test_the_truth_reaches_all_modes_with_the_share_within_3_standard_deviations():
    samples = ring()[torch.arange(2500) % 8] + 0.01 * normal(2500, 2)
    found = modes(samples, ring(), 0.01)
    assert found.reached == 8
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.007)


def test_a_mode_counts_from_20_samples_of_its_own():
    samples = torch.cat([ring()[0].expand(20, 2), ring()[1].expand(19, 2), 0 * ring()[2].expand(11, 2)])
    found = modes(samples, ring(), 0.01)
    assert found.reached == 1
    assert found.high_quality == pytest.approx(39 / 50)
    assert found.counts.tolist() == [20, 19, 0, 0, 0, 0, 0, 0]


def test_the_edge_is_3_standard_deviations():
    offsets = torch.tensor([[0.0299, 0.0], [0.0301, 0.0]], dtype=torch.float64)
    assert modes(ring()[0] + offsets, ring(), 0.01, least=1).counts[0] == 1
    with pytest.raises(ConfigError, match=r"std = 0\.0"):
        modes(offsets, ring(), 0.0)
