"""Measures against closed forms, naive loops and scikit-learn; the metrics of a sweep against what they promise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import nn

from gen_models.errors import ConfigError, DataError
from gen_models.evaluating import draw, elbo, evaluating
from gen_models.measures import samples
from gen_models.measures.partitions import adjusted_rand, cluster_accuracy, normalised_mutual_information
from gen_models.measures.ranking import auroc, auroc_interval
from gen_models.measures.samples import median_bandwidth, mmd2, nearest_distances
from gen_models.measures.sweep_metrics import validation
from gen_models.measures.units import bits_per_dim, unit_scale
from gen_models.noise import Noise
from tests.models import ROWS, data_of, ready, rows_offering

LIKE = torch.zeros((), dtype=torch.float64)


def normal(stream: str, *shape: int, seed: int = 0) -> torch.Tensor:
    return Noise(seed).normal(stream, shape, LIKE)


def row_named(name: str):
    return next(row for row in ROWS if row.name == name)


# units


@given(st.floats(-5e3, 5e3), st.integers(1, 3000), st.integers(2, 256))
def test_bits_of_data_as_stored_are_the_papers_bits(log_prob, dims, levels):
    on_unit_cube = log_prob + dims * math.log(levels)  # the log density of x/levels
    papers = math.log2(levels) - on_unit_cube / (dims * math.log(2))
    assert bits_per_dim(log_prob, dims) == pytest.approx(papers, abs=1e-9)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_guessing_every_level_alike_costs_log2_of_the_levels(levels):
    assert bits_per_dim(-64 * math.log(levels), 64) == pytest.approx(math.log2(levels))


def test_the_unit_scale_goes_from_black_to_white():
    x = torch.tensor([[0.0, 8.0, 16.0]])
    assert unit_scale(x, levels=17).tolist() == [[0.0, 0.5, 1.0]]


def test_continuous_rows_are_measured_in_standard_deviations_of_the_training_rows():
    x = torch.tensor([[3.0, 7.0]])
    each = {"mean": [1.0, 7.0], "std": [2.0, 0.0]}
    assert unit_scale(x, levels=None, statistics=each).tolist() == [[1.0, 0.0]]  # a constant stays finite
    assert unit_scale(x, levels=None, statistics={"mean": 3.0, "std": 4.0}).tolist() == [[0.0, 1.0]]
    assert torch.equal(unit_scale(x, levels=None), x)


# two sets of rows


def test_mmd2_is_the_sum_over_pairs():
    x, y, widths = normal("x", 5, 3), normal("y", 7, 3), (0.5, 2.0)

    def k(a, b):
        return sum(math.exp(-float((a - b).square().sum()) / (2 * h**2)) for h in widths) / len(widths)

    within_x = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (5 * 4)
    within_y = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (7 * 6)
    across = sum(k(a, b) for a in x for b in y) / (5 * 7)
    assert mmd2(x, y, widths).item() == pytest.approx(within_x + within_y - 2 * across, abs=1e-12)


def test_mmd2_of_two_normals_has_its_closed_form_and_is_unbiased():
    # in one dimension: 2 h / sqrt(h^2 + 2) (1 - exp(-m^2 / (2 (h^2 + 2)))) between N(0, 1) and N(m, 1)
    h = 1.5
    for m in (0.0, 1.0):
        expected = 2 * h / math.sqrt(h**2 + 2) * (1 - math.exp(-(m**2) / (2 * (h**2 + 2))))
        found = torch.stack(
            [mmd2(normal("x", 40, 1, seed=s), m + normal("y", 40, 1, seed=s), (h,)) for s in range(300)]
        )
        assert abs(found.mean() - expected) < 4 * found.std() / math.sqrt(300)
        if m == 0:
            assert found.min() < 0  # an estimate that is never negative is biased


def test_mmd2_depends_on_neither_the_unit_nor_the_order_nor_the_side():
    x, y = normal("x", 20, 4), normal("y", 30, 4) + 0.5
    value = mmd2(x, y, (1.0,))
    torch.testing.assert_close(mmd2(16 * x, 16 * y, (16.0,)), value)
    torch.testing.assert_close(mmd2(x.flip(0), y.flip(0), (1.0,)), value)
    torch.testing.assert_close(mmd2(y, x, (1.0,)), value)


def test_the_bandwidth_is_the_median_distance():
    x = torch.tensor([[0.0], [1.0], [3.0]])
    assert median_bandwidth(x) == 2.0
    assert median_bandwidth(torch.ones(5, 2)) == 1.0
    many = normal("x", 5000, 2)
    assert median_bandwidth(many) == pytest.approx(math.sqrt(2 * 2 * math.log(2)), rel=0.05)


def test_nearest_distances_are_the_smallest_of_all_and_zero_for_a_copy(monkeypatch):
    a, b = normal("a", 9, 2, 3).float() + 100, normal("b", 13, 2, 3).float() + 100
    a[4] = b[7]
    naive = torch.stack([(row - b).flatten(1).norm(dim=1).min() for row in a])
    found = nearest_distances(a, b)
    torch.testing.assert_close(found, naive)
    assert found[4] == 0
    monkeypatch.setattr(samples, "BLOCK_NUMBERS", 20)  # a row at a time
    torch.testing.assert_close(nearest_distances(a, b), found)


# rankings

ranked = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40)


@given(ranked)
def test_auroc_counts_pairs_and_half_of_the_ties(rows):
    scores, labels = [score for score, _ in rows], [label for _, label in rows]
    assume(any(labels) and not all(labels))
    pairs = [(a > b) + (a == b) / 2 for a, x in rows if x for b, y in rows if not y]
    area = auroc(scores, labels)
    assert area == pytest.approx(np.mean(pairs))
    assert area == pytest.approx(sk.roc_auc_score(labels, scores))
    assert auroc([-score for score in scores], labels) == pytest.approx(1 - area)
    assert auroc([math.exp(score) for score in scores], labels) == pytest.approx(area)
    low, high = auroc_interval(scores, labels)
    assert 0 <= low <= area <= high <= 1


def test_the_interval_covers_the_true_area_as_often_as_it_says():
    # binormal scores a unit apart: the true area is Phi(1/sqrt 2)
    truth = 0.5 * (1 + math.erf(0.5))
    labels = np.repeat([False, True], [60, 25])
    covered = 0
    for seed in range(400):
        low, high = auroc_interval(normal("s", 85, seed=seed).numpy() + labels, labels)
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.985


def test_perfect_separation_of_few_rows_is_no_certainty():
    few = auroc_interval([0, 1, 2, 3], [False, False, True, True])
    many = auroc_interval(range(400), np.arange(400) >= 200)
    assert few[1] == many[1] == 1.0
    assert few[0] < 0.6 < 0.97 < many[0] < 1
    assert auroc_interval([3, 2, 1, 0], [False, False, True, True])[0] == 0.0


def test_one_kind_of_rows_has_no_area():
    with pytest.raises(DataError, match="0 anomalies and 2 normal rows"):
        auroc([1.0, 2.0], [False, False])


# partitions

partitions = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


@given(partitions)
def test_partitions_agree_with_scikit_learn(rows):
    classes, clusters = (np.array(column) for column in zip(*rows, strict=True))
    nmi = normalised_mutual_information(classes, clusters)
    assert nmi == pytest.approx(sk.normalized_mutual_info_score(classes, clusters), abs=1e-9)
    found = adjusted_rand(classes, clusters)
    assert found == pytest.approx(sk.adjusted_rand_score(classes, clusters), abs=1e-9)


@given(partitions, st.permutations(range(5)))
def test_the_names_of_clusters_do_not_matter(rows, names):
    classes, clusters = (np.array(column) for column in zip(*rows, strict=True))
    for measure in (cluster_accuracy, normalised_mutual_information, adjusted_rand):
        assert measure(classes, np.array(names)[clusters]) == pytest.approx(measure(classes, clusters))
        assert measure(classes, np.array(names)[classes]) == pytest.approx(1.0)


def test_accuracy_matches_each_cluster_with_one_class():
    assert cluster_accuracy([0, 0, 1, 1, 2, 2], [5, 5, 5, 7, 9, 9]) == pytest.approx(5 / 6)
    assert cluster_accuracy([0, 0, 0, 0], [1, 2, 3, 4]) == pytest.approx(1 / 4)


# evaluation


class Modes(nn.Module):
    def __init__(self):
        super().__init__()
        self.live, self.frozen = nn.Dropout(), nn.BatchNorm1d(2)
        self.frozen.eval()


def test_every_module_gets_its_own_mode_back_even_after_an_error():
    model = Modes()
    with pytest.raises(RuntimeError), evaluating(model):
        assert not model.live.training
        assert not torch.is_grad_enabled()
        raise RuntimeError
    assert model.training
    assert model.live.training
    assert not model.frozen.training
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("row", rows_offering("bound"), ids=str)
def test_more_importance_samples_do_not_lower_the_bound(row):
    model, x = ready(row), data_of(row)
    with evaluating(model):
        means = [elbo(model, x, Noise(0), samples=k, draws=40).mean().item() for k in (1, 5, 50)]
    assert means[0] < means[1] < means[2]


@pytest.mark.parametrize("row", rows_offering("bound"), ids=str)
def test_a_row_s_bound_under_shared_noise_does_not_know_its_neighbours(row, monkeypatch):
    model, x, noise = ready(row), data_of(row), Noise(0).shared()
    with evaluating(model):
        whole = elbo(model, x, noise, samples=3)
        monkeypatch.setattr("gen_models.evaluating.CHUNK_ROWS", 21)
        torch.testing.assert_close(elbo(model, x, noise, samples=3), whole)
        assert not torch.allclose(elbo(model, x, Noise(0), samples=3), whole)


@pytest.mark.parametrize("row", rows_offering("sampler"), ids=str)
def test_draws_are_as_many_as_asked_and_none_twice(row):
    with evaluating(model := ready(row)):
        drawn = draw(model, 23, Noise(0), rows=10)
        assert drawn.shape == (23, *row.data[0])
        assert draw(model, 0, Noise(0)).shape == (0, *row.data[0])
    if hasattr(model, "codes"):  # a grid of few codes takes few values: only the same ten again would be a fault
        assert not torch.equal(drawn[:10], drawn[10:20])
    elif row.data[1] is None:
        assert len(drawn.unique(dim=0)) == 23


# the metrics of a sweep

OFFERED = {"nats": {"density", "bound"}, "mse": {"reconstructor"}, "mmd": {"sampler"}}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_model_has_the_metrics_of_its_capabilities_the_same_each_time(row):
    model, x = ready(row).train(), data_of(row)
    before = x.clone()
    found = validation(model, x, levels=row.data[1])
    assert set(found) == {name for name, needs in OFFERED.items() if needs & set(row.offers)}
    assert all(math.isfinite(value) for value in found.values())
    assert validation(model, x, levels=row.data[1]) == found
    assert validation(model, x, noise=Noise(0, rank=1, world=2), levels=row.data[1]) == found
    assert torch.equal(x, before)
    assert model.training


def test_nats_do_not_depend_on_the_beta_that_is_swept():
    row = row_named("vae")
    model, x = ready(row), data_of(row)
    before = validation(model, x, ["nats"])
    model.beta = 17.0
    assert validation(model, x, ["nats"]) == before


def test_nats_of_a_density_are_its_mean_log_probability():
    row = row_named("realnvp")
    model, x = ready(row), data_of(row)
    with torch.no_grad():
        assert validation(model, x, ["nats"])["nats"] == pytest.approx(-model.log_prob(x).mean().item())


class Stub(nn.Module):
    """Reconstructs with an error of one level, samples what it was given."""

    def __init__(self, rows: torch.Tensor):
        super().__init__()
        self.rows = rows

    def reconstruct(self, x):
        return x + 1.0

    def sample(self, n, noise):
        return self.rows[noise.permutation("stub", len(self.rows))[:n]]


def test_mse_is_on_the_unit_scale():
    x = torch.randint(0, 17, (30, 1, 4, 4), generator=torch.Generator().manual_seed(0)).double()
    assert validation(Stub(x), x, ["mse"], levels=17)["mse"] == pytest.approx(1 / 16**2)
    assert validation(Stub(x), x, ["mse"], statistics={"mean": 8, "std": 2})["mse"] == pytest.approx(1 / 4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_mmd_prefers_the_sampler_of_the_right_distribution(seed):
    x, right = normal("x", 200, 2, seed=seed), normal("right", 300, 2, seed=seed)
    noise = Noise(seed)
    good, bad = (validation(Stub(r), x, ["mmd"], noise=noise)["mmd"] for r in (right, right + 1.0))
    assert good < bad
    assert abs(good) < 0.05


def test_errors_name_the_metric_and_what_there_is():
    row = row_named("sn_wgan")
    with pytest.raises(ConfigError, match=r"unknown metric 'natts': did you mean 'nats'\?"):
        validation(ready(row), data_of(row), ["natts"])
    with pytest.raises(ConfigError, match="'nats' needs a density or bound, which SNWGAN is not: choose from mmd"):
        validation(ready(row), data_of(row), ["nats"])
