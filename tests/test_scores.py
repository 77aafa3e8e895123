"""Scores: a row's score is a function of the row. Conformal p-values: what makes them a test of known level."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gen_models.anomalies.conformal import conformal_p
from gen_models.anomalies.scores import scorers, scores
from gen_models.errors import DataError
from tests.models import ROWS, data_of, ready

NEEDS = {
    "nll": "density",
    "neg_elbo": "bound",
    "reconstruction": "reconstructor",
    "critic": "critic",
    "latent_mahalanobis": "encoder",
}


def scored(row, model, x):
    return scores(model, x, data_of(row), levels=row.data[1])


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_model_has_the_scores_of_its_capabilities(row):
    names = {name for name, need in NEEDS.items() if need in row.offers}
    if row.name.startswith("gmm"):
        names.remove("latent_mahalanobis")  # responsibilities are no place to measure a distance
    model, x = ready(row), data_of(row)
    if "reconstruction" in names and row.data[1] is not None and x.ndim == 4:
        names.add("blurred")  # of images
    if names & {"nll", "neg_elbo"}:
        names.add("typicality")
    assert set(scored(row, model, x)) == names
    assert set(scores(model, x, levels=row.data[1])) == names - {"latent_mahalanobis", "blurred", "typicality"}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_scores_are_finite_numbers_that_neither_neighbours_nor_their_order_change(row):
    model, x = ready(row).train(), data_of(row)
    before, order = x.clone(), torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    whole, shuffled = scored(row, model, x), scored(row, model, x[order])
    halves = [scored(row, model, part) for part in (x[:1], x[1:30], x[30:])]
    for name, values in whole.items():
        assert values.shape == (len(x),)
        assert values.isfinite().all()
        torch.testing.assert_close(shuffled[name], values[order], rtol=1e-10, atol=1e-9)
        torch.testing.assert_close(torch.cat([half[name] for half in halves]), values, rtol=1e-10, atol=1e-9)
    assert torch.equal(x, before)
    assert model.training  # statistics over a batch were not used, and the mode came back


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_no_rows_have_no_scores(row):
    assert all(values.shape == (0,) for values in scored(row, ready(row), data_of(row)[:0]).values())


@pytest.mark.parametrize("row", [row for row in ROWS if row.data[1] is None and "critic" not in row.offers], ids=str)
def test_a_row_far_from_all_training_rows_is_more_anomalous(row):
    model, x = ready(row), data_of(row)
    near, far = scored(row, model, x), scored(row, model, 50.0 * x)
    for name in set(near) - {"latent_mahalanobis"}:
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
