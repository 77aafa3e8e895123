"""Laws of the mutual information gap: 1 for a code that is the factors, 0 for noise and for one that is there twice."""

import numpy as np
import pytest

from gen_models.errors import DataError
from gen_models.measures.disentanglement import gaps, in_bins, mutual_information, mutual_information_gap

RNG = np.random.default_rng(0)
FACTORS = np.stack([RNG.integers(0, 3, 4000), RNG.integers(0, 12, 4000)], axis=1)


def test_a_code_that_is_the_factors_has_a_gap_near_1():
    assert mutual_information_gap(FACTORS, FACTORS) == pytest.approx(1, abs=0.01)


def test_without_a_rival_the_gap_is_1_exactly():
    assert mutual_information_gap(FACTORS[:, :1] ** 2 - 7.5, FACTORS[:, :1]) == pytest.approx(1)


def test_a_code_that_is_noise_has_none():
    noise = RNG.normal(size=(4000, 5))
    found = gaps(noise, FACTORS)
    bias = (20 - 1) * (np.array([3, 12]) - 1) / (2 * 4000)  # of each information; of their difference less
    assert (found >= 0).all()
    assert (found < bias).all()


def test_a_factor_told_twice_has_none_and_one_told_by_a_sum_has_half():
    """z = v_1 + v_2 alone tells of each; a second latent of v_1 tells all of it."""
    assert mutual_information_gap(FACTORS[:, [0, 0]], FACTORS[:, :1]) == 0
    coins = RNG.integers(0, 2, (40_000, 2))
    both = coins.sum(axis=1, keepdims=True)
    information, entropy = mutual_information(both, coins)
    np.testing.assert_allclose(information[:, 0] / entropy, 0.5, atol=0.02)  # a sum of 0 or 2, half the time, says all


def test_information_of_a_gaussian_channel_is_the_closed_form():
    """v a fair coin, z = v + noise: I by numeric integration; bins of a tenth lose little of it."""
    coin = RNG.integers(0, 2, 200_000)
    z = coin + 0.4 * RNG.normal(size=coin.shape)
    information, _ = mutual_information(z[:, None], coin[:, None], bins=40)
    grid = np.linspace(-3, 4, 20_001)
    density = np.exp(-((grid[:, None] - [0, 1]) ** 2) / (2 * 0.16)) / np.sqrt(2 * np.pi * 0.16)
    mixture = density.mean(axis=1, keepdims=True)
    exact = (density * np.log(density / mixture)).mean(axis=1).sum() * (grid[1] - grid[0])
    assert information[0, 0] == pytest.approx(exact, abs=0.01)


def test_the_gap_does_not_depend_on_scale_order_or_sign_of_the_codes():
    codes = FACTORS + 0.3 * RNG.normal(size=FACTORS.shape)
    turned = np.stack([7 * codes[:, 1] + 2, codes[:, 0]], axis=1)
    assert mutual_information_gap(turned, FACTORS) == pytest.approx(mutual_information_gap(codes, FACTORS), abs=1e-9)


def test_bins_are_of_equal_width_and_few_values_stay_apart():
    np.testing.assert_array_equal(in_bins(np.array([0.0, 0.1, 0.6, 1.0]), 2), [0, 0, 1, 1])
    np.testing.assert_array_equal(in_bins(np.array([0.0, 0.001, 100.0]), 20), [0, 1, 2])


def test_a_constant_code_tells_nothing():
    codes = np.concatenate([FACTORS[:, :1], np.zeros((4000, 1))], axis=1)
    assert gaps(codes, FACTORS[:, :1])[0] == pytest.approx(1)


def test_what_cannot_be_measured_says_why():
    with pytest.raises(DataError, match="factor 1 has one value in all rows"):
        gaps(FACTORS, np.stack([FACTORS[:, 0], np.zeros(4000)], axis=1))
    with pytest.raises(DataError, match="as many rows"):
        gaps(FACTORS, FACTORS[:10])
