"""Scores: a row's score is a function of the row. Conformal p-values: what makes them a test of known level."""

import math
import zlib
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gen_models.anomalies import importance_score
from gen_models.anomalies.code_prior_score import CODE_PRIOR
from gen_models.anomalies.complexity_score import filtered, length_nats
from gen_models.anomalies.conformal import conformal_p
from gen_models.anomalies.latent_density import centres_of, load_mixture, mixture_of
from gen_models.anomalies.likelihood_ratio_score import fit_background, log_background
from gen_models.anomalies.mean_rank_score import rank
from gen_models.anomalies.score import Asked, Setting
from gen_models.anomalies.scores import fit_scores, scorers, scores
from gen_models.errors import DataError
from gen_models.evaluating import elbo, evaluating
from gen_models.mixtures.gaussian_mixture import GaussianMixture
from gen_models.noise import Noise
from tests.models import ROWS, data_of, ready

NEEDS = {  # capability: the scores of all rows, and those of images of grey levels
    "density": ({"nll", "typicality", "likelihood_ratio"}, {"complexity"}),
    "bound": ({"neg_elbo", "importance", "typicality", "likelihood_ratio"}, {"complexity"}),
    "reconstructor": ({"reconstruction"}, {"blurred"}),
    "critic": ({"critic"}, set()),
    "encoder": ({"latent_mahalanobis", "latent_neighbours", "latent_mixture"}, set()),
}
ALONE = {"nll", "neg_elbo", "reconstruction", "critic", "denoising", "code_prior"}  # they need no training rows
BLIND = {"likelihood_ratio", "mean_rank", "code_prior"} | NEEDS["encoder"][0]  # to how far outside a row lies
TWO = [row for row in ROWS if row.name in ("vae", "iwae digits")]


@cache
def fitted_scores(row):
    """A model in training mode, and its scores."""
    model = ready(row).train()
    return model, fit_scores(model, data_of(row), Setting(row.data[1]))


def names_of(row):
    """The scores that a row of the table of models has."""
    is_grey = isinstance(row.data[1], int)
    names = set().union(
        *(plain | (pictures if is_grey else set()) for need, (plain, pictures) in NEEDS.items() if need in row.offers)
    )
    if row.name.startswith("gmm"):
        names -= NEEDS["encoder"][0]  # responsibilities are no place to measure a distance
    if row.name.startswith("denoising"):
        names.add("denoising")
    if row.name.startswith("vq_vae"):
        names.add("code_prior")
    return names | ({"mean_rank"} if len(names) > 1 else set())


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_model_has_the_scores_of_its_capabilities(row):
    assert set(fitted_scores(row)[1].names) == names_of(row)
    assert set(scores(ready(row), data_of(row), levels=row.data[1])) == names_of(row) & ALONE


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_scores_are_finite_numbers_that_neither_neighbours_nor_their_order_change(row):
    (model, fitted), x = fitted_scores(row), data_of(row)
    before, order = x.clone(), torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    whole, shuffled, none = fitted.all(x), fitted.all(x[order]), fitted.all(x[:0])
    halves = [fitted.all(part) for part in (x[:1], x[1:30], x[30:])]
    assert set(whole) == names_of(row)
    for name, values in whole.items():
        assert values.shape == (len(x),)
        assert none[name].shape == (0,)
        assert values.isfinite().all()
        # a rank falls by as many rows as tie where rounding takes a score below that of the same row in the reference
        near = {"rtol": 1e-10, "atol": 1 / len(x) if name == "mean_rank" else 1e-9}
        torch.testing.assert_close(shuffled[name], values[order], **near)
        torch.testing.assert_close(torch.cat([half[name] for half in halves]), values, **near)
    assert torch.equal(x, before)
    assert model.training  # statistics over a batch were not used, and the mode came back


@pytest.mark.parametrize("row", TWO, ids=str)
def test_a_score_fitted_alone_is_the_one_fitted_with_all(row):
    model, fitted = fitted_scores(row)
    for name in fitted.names:
        alone = fit_scores(model, data_of(row), Setting(row.data[1]), name=name)
        assert torch.equal(alone(name, data_of(row)), fitted(name, data_of(row)))
        assert set(alone.states) <= {name} or name == "mean_rank"


@pytest.mark.parametrize("row", [row for row in ROWS if row.data[1] is None and "critic" not in row.offers], ids=str)
def test_a_row_far_from_all_training_rows_is_more_anomalous(row):
    model, x = ready(row), data_of(row)
    fitted = fit_scores(model, x, Setting())
    near, far = fitted.all(x), fitted.all(50.0 * x)
    for name in set(near) - BLIND:
        assert far[name].median() > near[name].max(), name


class Blank(nn.Module):
    """Every image comes back as nothing: what is left of it is itself."""

    def reconstruct(self, x):
        return torch.zeros_like(x)


def test_under_the_blur_a_line_and_its_gap_cancel_and_a_stroke_of_one_sign_stays():
    def left(image):
        found = scores(Blank(), image[None, None], torch.zeros(1, 1, 28, 28), levels=2)
        return (found["blurred"] / found["reconstruction"]).item()

    shifted, thick = torch.zeros(28, 28), torch.zeros(28, 28)
    shifted[4:24, 12], shifted[4:24, 13] = 1.0, -1.0  # a line that came back one pixel aside
    thick[4:24, 12:14] = 1.0
    # g * g is a Gaussian h of variance 2: h(0) -+ h(1) of two impulses across, 1 - E|t|/20 of 20 pixels along
    along = 1 - 2 / np.sqrt(np.pi) / 20
    across = [(1 + sign * np.exp(-0.25)) / (2 * np.sqrt(np.pi)) for sign in (-1, 1)]
    assert left(shifted) == pytest.approx(across[0] * along, rel=0.02)
    assert left(thick) == pytest.approx(across[1] * along, rel=0.02)


class Identity(nn.Module):
    """Every latent is the row, or a part of it."""

    def encode(self, x):
        return x


def test_the_latent_distances_of_training_rows_average_to_the_dimension_whatever_the_units():
    # sum_i (z_i - m)' C^+ (z_i - m) = (n - 1) rank(C)
    z = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    doubled = torch.cat([z, z[:, :1]], dim=1)  # a singular covariance of rank 3
    for latents in (z, 1e3 * z + 5, doubled):
        found = scores(Identity(), latents, latents)["latent_mahalanobis"]
        assert found.sum().item() == pytest.approx(49 * 3)
    torch.testing.assert_close(*(scores(Identity(), a, a)["latent_mahalanobis"] for a in (z, 1e3 * z + 5)))


def test_a_switched_off_latent_is_left_out_and_not_blown_up():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(200, 2, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 1e-6])
    moved = z + torch.tensor([0.0, 1e-3])  # a thousand of its tiny standard deviations
    near, far = (scores(Identity(), rows, z)["latent_mahalanobis"] for rows in (z, moved))
    torch.testing.assert_close(far, near)


def test_a_bound_of_several_draws_is_nearer_on_average_than_the_one_of_single_draws():
    for row in TWO:
        model, x = ready(row), data_of(row)
        found = [fit_scores(model, x, Setting(row.data[1], noise=Noise(seed))).all(x) for seed in range(4)]
        mean = {name: torch.stack([one[name].mean() for one in found]).mean() for name in ("importance", "neg_elbo")}
        assert mean["importance"] < mean["neg_elbo"]
        with evaluating(model):
            bound = elbo(model, x, Noise(3).shared(), samples=16, draws=1)
        torch.testing.assert_close(found[3]["importance"], -bound)


def test_a_bound_is_left_out_where_it_would_take_long(monkeypatch):
    row, x = TWO[0], data_of(TWO[0])
    monkeypatch.setattr(importance_score, "MOST_NUMBERS", 16 * x.numel() - 1)
    assert set(fit_scores(ready(row), x, Setting()).names) == names_of(row) - {"importance"}


# complexity


class Constant(nn.Module):
    """Every row has the density 1."""

    def log_prob(self, x, noise=None):
        return torch.zeros(len(x), dtype=x.dtype)


@pytest.mark.parametrize("levels", [2, 17, 256, 1000])
def test_without_a_likelihood_complexity_is_the_length_of_the_image(levels):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, levels, (1, 1, 28, 28), generator=generator).double()
    flat = torch.full((1, 1, 28, 28), levels - 1.0).double()
    ramp = (torch.arange(28).double() * (levels - 1) / 27).round().expand(1, 1, 28, 28)
    x = torch.cat([noise, ramp, flat])
    found = scores(Constant(), x, x, levels=levels)["complexity"]
    torch.testing.assert_close(found, -length_nats(x, levels))
    planes = flat[0, 0].numpy().astype(np.uint8) if levels <= 256 else np.repeat([3, 231], 784).astype(np.uint8)
    assert -found[2].item() <= len(zlib.compress(planes.tobytes(), 6)) * math.log(256) + 1e-9
    assert found[0] < found[1] <= found[2]
    assert -found[0] >= 784 * math.log(levels)  # no compression shortens noise


@given(st.integers(0, 2**32), st.sampled_from([3, 256]), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
def test_filtered_lines_give_the_image_back(seed, levels, planes, height, width):
    x = np.random.default_rng(seed).integers(0, levels, (2, planes, height, width)).astype(np.uint8)
    for image, lines in zip(x, filtered(x), strict=True):
        for plane, coded in zip(image, lines, strict=True):
            back = np.zeros((height + 1, width + 1), dtype=int)  # by the decoder of the standard, number by number
            for i, (kind, *line) in enumerate(coded.tolist()):
                for j, value in enumerate(line):
                    left, up, corner = back[i + 1, j], back[i, j + 1], back[i, j]
                    nearest = min((left, up, corner), key=lambda near: abs(left + up - corner - near))
                    back[i + 1, j + 1] = (value + (0, left, up, (left + up) // 2, nearest)[kind]) % 256
            assert (back[1:, 1:] == plane).all()


# likelihood ratio


def test_the_histogram_of_grey_levels_is_a_distribution_and_knows_its_own_counts():
    for levels in (2, 3, 17, 200):
        every = torch.arange(levels).double()[:, None]
        state = fit_background(every[:2].repeat(30, 1), levels)
        log_p = log_background(state, every, levels)
        assert log_p.exp().sum().item() == pytest.approx(1)
        assert log_p[0].item() == pytest.approx(math.log((30 + 0.5) / (60 + 0.5 * len(state["counts"][0]))))


def test_the_background_of_a_table_is_a_product_of_densities_and_shares():
    columns = [None, "flag", {"category": 3}]
    grid = torch.linspace(-300, 300, 60001).double()
    x = torch.tensor([[1.0, 1, 1, 0, 0], [5.0, 0, 0, 1, 0], [3.0, 0, 0, 0, 1], [3.0, 0, 1, 0, 0]]).double()
    state = fit_background(x, columns)
    total = 0.0
    for flag in (0.0, 1.0):
        for category in torch.eye(3).double():
            rest = torch.cat([torch.tensor([flag]).double(), category]).expand(len(grid), -1)
            total += torch.trapezoid(log_background(state, torch.cat([grid[:, None], rest], 1), columns).exp(), grid)
    assert total.item() == pytest.approx(1, abs=1e-6)
    draws = 3 + 2 * torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)).double()
    draws[:, 1] = 7.0  # constant columns say nothing
    state = fit_background(draws, None)
    best = log_background(state, draws, None).mean()
    for change in ({"mean": state["mean"] + 1}, {"std": state["std"] * 2}, {"std": state["std"] / 2}):
        assert log_background({**state, **change}, draws, None).mean() < best


def test_the_ratio_finds_numbers_that_do_not_belong_together_and_discounts_one_that_is_large():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 2, generator=generator).double()
    x[:, 1] = x[:, 0] + 0.1 * x[:, 1]
    model = GaussianMixture([2], None, components=1, em_steps=2).double()
    model.warm_start(x, Noise(0))
    usual, apart, large = torch.tensor([[0.5, 0.5], [1.5, -1.5], [4.0, 4.0]]).double()
    found = fit_scores(model, x, Setting()).all(torch.stack([usual, apart, large]))
    ratio, nll = found["likelihood_ratio"], found["nll"]
    assert ratio[1] - ratio[0] > 100
    assert nll[2] - nll[0] > 5  # the likelihood calls the large row unusual, the background calls it so as well
    assert ratio[2] - ratio[0] < 2


# latents


def test_the_mixture_of_a_gaussian_cloud_orders_rows_as_their_distance_does():
    z = (
        torch.randn(600, 3, generator=torch.Generator().manual_seed(0)).double()
        @ torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double()
    )
    found = scores(Identity(), z, z)
    assert torch.equal(found["latent_mixture"].argsort(), found["latent_mahalanobis"].argsort())
    # whitened by the rows themselves, so -log p = D/2 log(2 pi) + half the distance, up to n/(n - 1)
    expected = 1.5 * math.log(2 * math.pi) + found["latent_mahalanobis"] / 2
    torch.testing.assert_close(found["latent_mixture"], expected, rtol=0.01, atol=0.01)


def test_a_gap_between_groups_is_seen_by_neighbours_and_mixture_and_not_by_the_distance_to_the_mean():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(800, 2, generator=generator).double()
    z[:400, 0] += 12.0
    gap = torch.tensor([[6.0, 0.0]]).double()
    train, between = scores(Identity(), z, z), scores(Identity(), gap, z)
    assert between["latent_mahalanobis"] < train["latent_mahalanobis"].quantile(0.1)
    for name in ("latent_neighbours", "latent_mixture"):
        assert between[name] > train[name].quantile(0.98)


def test_neither_centres_nor_mixture_hold_a_row_and_both_are_the_same_again():
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(500, 4, generator=generator).double() * 10
    y[0] = 1e3  # by itself
    torch.manual_seed(1)
    before = torch.get_rng_state()
    centres, mixture = centres_of(y), mixture_of(y)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(centres_of(y), centres) and all(torch.equal(mixture_of(y)[key], mixture[key]) for key in mixture)
    for kept in (centres, mixture["means"]):
        assert torch.cdist(kept, y).min() > 1e-3
    assert load_mixture(mixture, y).log_prob(y).isfinite().all()
    assert mixture_of(y[:5]) is None


# codes, ranks


def test_the_likelihood_of_codes_sums_over_the_levels_as_the_training_of_the_prior_does():
    for row in [row for row in ROWS if row.name.startswith("vq_vae")]:
        model, x = ready(row), data_of(row)
        with evaluating(model):
            nats = CODE_PRIOR.values(Asked(model, x, {}, {}, Setting(row.data[1]), {}))
            torch.testing.assert_close(nats.mean(), model.prior_loss(x, Noise(0)).value)


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40), st.lists(st.integers(-6, 6).map(float)))
def test_a_rank_counts_the_rows_below_and_half_of_the_equal_ones(reference, values):
    ordered = torch.tensor(reference).double().sort().values
    found = rank(ordered, torch.tensor(values).double())
    naive = [sum((r < v) + (r == v) / 2 for r in reference) / len(reference) for v in values]
    assert found.tolist() == pytest.approx(naive)
    assert rank(ordered, ordered).mean().item() == pytest.approx(0.5)


def test_the_mean_rank_is_the_mean_of_all_other_scores_ranks():
    row = next(row for row in ROWS if row.name == "vae digits")
    found = fitted_scores(row)[1].all(data_of(row))
    ranks = torch.stack([rank(v.sort().values, v) for name, v in found.items() if name != "mean_rank"])
    torch.testing.assert_close(found["mean_rank"], ranks.mean(dim=0))
    assert found["mean_rank"].mean().item() == pytest.approx(0.5)  # of the rows that it was fitted to


def test_a_denoiser_that_knows_the_only_row_of_the_data_scores_the_distance_to_it():
    class Knows(nn.Module):
        corruption, corruption_level = "gaussian", 1.0

        def corrupt(self, x, noise):
            return x + noise.normal("corruption", x.shape, like=x)

        def denoise(self, x):
            return torch.ones_like(x)

    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(scores(Knows(), x)["denoising"], (x - 1).square().sum(dim=1))
    Knows.denoise = lambda self, x: x  # the identity leaves the corruption, the same for all rows
    assert scores(Knows(), x)["denoising"].std() < 1e-9


def test_a_score_that_is_not_a_number_names_its_row():
    class Broken(nn.Module):
        def criticise(self, x):
            return x.flatten(1).sum(dim=1)

    x = torch.zeros(4, 2)
    x[2, 1] = torch.nan
    with pytest.raises(DataError, match="'critic' of row 2 is nan"):
        scorers(Broken())["critic"](x)


# conformal p-values

numbers = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=50)


@given(numbers, numbers)
def test_p_counts_what_is_at_least_as_anomalous(calibration, values):
    n, p = len(calibration), conformal_p(calibration, values)
    naive = [(1 + sum(c >= s for c in calibration)) / (n + 1) for s in values]
    assert p.tolist() == pytest.approx(naive)
    assert p.min() >= 1 / (n + 1)
    assert p.max() <= 1


@given(numbers, numbers, st.randoms(use_true_random=False))
def test_p_falls_as_the_score_grows_and_the_order_of_calibration_does_not_matter(calibration, values, random):
    values = sorted(values)
    p = conformal_p(calibration, values)
    assert (np.diff(p) <= 0).all()
    random.shuffle(calibration)
    assert (conformal_p(calibration, values) == p).all()


@given(numbers)
def test_over_all_exchanges_of_the_test_row_p_is_super_uniform(rows):
    # exchangeability, exactly: each of the n + 1 rows takes its turn as the test row
    p = np.array([conformal_p(rows[:i] + rows[i + 1 :], [row])[0] for i, row in enumerate(rows)])
    for t in np.arange(1, len(rows) + 1) / len(rows):
        assert np.mean(p <= t + 1e-12) <= t + 1e-12


def test_dividing_by_n_would_promise_too_much():
    assert conformal_p([1.0, 2.0, 3.0], [9.0]).tolist() == [1 / 4]
    assert conformal_p([1.0, 2.0, 3.0], [np.inf, -np.inf]).tolist() == [1 / 4, 1.0]
