"""Measures against closed forms, naive loops and scikit-learn; the metrics of a sweep against what they promise."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as sk
from torch import nn

from gen_models.errors import ConfigError, DataError
from gen_models.evaluating import draw, elbo, evaluating, log_prob
from gen_models.layers.binarisation import Binarisation
from gen_models.layers.data_scale import DataScale
from gen_models.measures import samples
from gen_models.measures.partitions import adjusted_rand, cluster_accuracy, normalised_mutual_information
from gen_models.measures.ranking import auroc, auroc_interval, average_precision
from gen_models.measures.samples import bandwidths, mmd2, nearest_distances
from gen_models.measures.sweep_metrics import Ruler, validation
from gen_models.measures.units import bits_per_dim, unit_scale
from gen_models.noise import Noise
from tests.drawing import drawn_from
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


def test_bandwidths_reach_from_the_fifth_neighbour_to_the_median_distance():
    x = normal("x", 500, 2)
    found = bandwidths(x)
    distances = torch.cdist(x, x)
    assert found[-1] == pytest.approx(torch.pdist(x).median().item())
    assert found[0] == pytest.approx(distances.sort(dim=1).values[:, 5].median().item())
    ratios = [b / a for a, b in pairwise(found)]
    assert ratios == pytest.approx([ratios[0]] * 5)
    torch.testing.assert_close(bandwidths(16 * x), tuple(16 * h for h in found))
    assert bandwidths(torch.ones(5, 2)) == bandwidths(x[:1]) == (1.0,) * 6
    copies = torch.cat([torch.zeros(20, 1), torch.ones(20, 1)])
    assert all(h > 0 for h in bandwidths(copies))


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


@cache
def of_both_kinds() -> list[np.ndarray]:
    """Return 200 draws of 225 standard normal numbers."""
    return [normal("s", 225, seed=seed).numpy() for seed in range(200)]


@pytest.mark.parametrize(("truth", "spread"), [(0.6, 0.5), (0.8, 1.0), (0.6, 2.0), (0.8, 3.0)])
def test_the_interval_covers_the_true_area_whatever_the_anomalies_spread(truth, spread):
    # normal scores N(0, 1), anomalies' N(shift, spread^2): the area is Phi(shift / sqrt(1 + spread^2))
    shift = math.sqrt(1 + spread**2) * norm.ppf(truth)
    labels = np.repeat([False, True], [200, 25])
    covered = 0
    for scores in of_both_kinds():
        low, high = auroc_interval(np.where(labels, shift + spread * scores, scores), labels)
        covered += low <= truth <= high
    assert covered / 200 >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / 200)


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
        means = [elbo(model, x, Noise(0), samples=k, draws=16).mean().item() for k in (1, 5, 50)]
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
        torch.testing.assert_close(drawn, draw(model, 23, Noise(0), rows=23), rtol=1e-10, atol=1e-10)
    if hasattr(model, "codes"):  # a grid of few codes takes few values: only the same ten again would be a fault
        assert not torch.equal(drawn[:10], drawn[10:20])
    elif row.data[1] is None:
        assert len(drawn.unique(dim=0)) == 23


def test_the_standard_error_of_a_mean_log_likelihood_holds_what_dequantisation_adds():
    """With draws that all rows share, the error that they have in common does not average out."""
    row = row_named("spline_flow digits")
    model, x = ready(row), data_of(row)
    with evaluating(model):
        own, shared = (
            torch.stack([log_prob(model, x, noise(seed), draws=2).mean() for seed in range(40)]).std()
            for noise in (Noise, lambda seed: Noise(seed).shared())
        )
        error = log_prob(model, x, Noise(0), draws=2).std() / math.sqrt(len(x))
    assert own < error
    assert own < 0.5 * shared


@pytest.mark.parametrize("row", [r for r in ROWS if {"density", "bound"} & set(r.offers)], ids=str)
def test_a_mean_does_not_depend_on_how_its_rows_are_split(row, monkeypatch):
    model, x = ready(row), data_of(row)
    ask = log_prob if "density" in row.offers else elbo
    with evaluating(model):
        whole = ask(model, x, Noise(3), draws=2)
        monkeypatch.setattr("gen_models.evaluating.CHUNK_ROWS", 19)
        torch.testing.assert_close(ask(model, x, Noise(3), draws=2), whole, rtol=1e-10, atol=1e-10)


# the metrics of a sweep

OFFERED = {"nats": {"density", "bound"}, "nats_iw50": {"bound"}, "mse": {"reconstructor"}, "mmd": {"sampler"}}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_model_has_the_metrics_of_its_capabilities_the_same_each_time(row):
    model, x = ready(row).train(), data_of(row)
    before = x.clone()
    found = validation(model, x, ruler=Ruler(levels=row.data[1]))
    assert set(found) == {name for name, needs in OFFERED.items() if needs & set(row.offers)}
    assert all(math.isfinite(value) for value in found.values())
    assert validation(model, x, ruler=Ruler(levels=row.data[1])) == found
    assert validation(model, x, ruler=Ruler(Noise(0, rank=1, world=2), row.data[1])) == found
    assert torch.equal(x, before)
    assert model.training


@pytest.mark.parametrize(
    ("name", "metric", "key", "value"),
    [("vae", "nats", "beta", 17.0), ("iwae", "nats_iw50", "samples", 1), ("sn_wgan relu", "mmd", "n_dis", 5)],
)
def test_a_metric_does_not_depend_on_how_the_model_is_trained(name, metric, key, value):
    row = row_named(name)
    model, x = ready(row), data_of(row)
    before = validation(model, x, [metric])
    assert getattr(model, key) != value
    setattr(model, key, value)
    assert validation(model, x, [metric]) == before


def test_the_bound_of_iwae_s_metric_is_tighter_than_that_of_one_sample():
    row = row_named("iwae")
    found = validation(ready(row), data_of(row), ["nats", "nats_iw50"])
    assert found["nats_iw50"] < found["nats"]


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
        return drawn_from(self.rows, n, noise)


def test_mse_is_on_the_unit_scale():
    x = torch.randint(0, 17, (30, 1, 4, 4), generator=torch.Generator().manual_seed(0)).double()
    assert validation(Stub(x), x, ["mse"], Ruler(levels=17))["mse"] == pytest.approx(1 / 16**2)
    assert validation(Stub(x), x, ["mse"], Ruler(statistics={"mean": 8, "std": 2}))["mse"] == pytest.approx(1 / 4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_mmd_prefers_the_sampler_of_the_right_distribution(seed):
    x, right = normal("x", 200, 2, seed=seed), normal("right", 300, 2, seed=seed)
    noise = Noise(seed)
    good, bad = (validation(Stub(r), x, ["mmd"], Ruler(noise))["mmd"] for r in (right, right + 1.0))
    assert good < bad
    assert abs(good) < 0.05


@pytest.mark.parametrize("times", [3.0, 10.0])
def test_mmd_sees_modes_that_are_several_times_too_wide(times):
    """Eight modes of width .014 a unit from the middle, as ring8's on the unit scale."""
    angles = 2 * math.pi * torch.arange(8).repeat(100) / 8
    modes = torch.stack([angles.cos(), angles.sin()], dim=1).double()
    x, other, train = (modes + 0.014 * normal(name, 800, 2) for name in ("x", "other", "train"))
    blurred = modes + times * 0.014 * normal("blurred", 800, 2)
    ruler = Ruler(bandwidths=bandwidths(train))
    good, bad = (validation(Stub(rows), x, ["mmd"], ruler)["mmd"] for rows in (other, blurred))
    assert good < 0.002 < 0.006 < bad


def test_binary_models_are_compared_with_binary_rows():
    x = torch.randint(0, 17, (400, 1, 4, 4), generator=torch.Generator().manual_seed(0)).double()
    scale = Binarisation([1, 4, 4], 17).double()
    model = Stub(scale.as_sampled(x, Noise(1)))
    assert validation(model, x, ["mmd"], Ruler(levels=17))["mmd"] > 0.05, "grey rows are told from binary ones"
    model.data_scale = scale
    assert abs(validation(model, x, ["mmd"], Ruler(levels=17))["mmd"]) < 0.01


class Latents(nn.Module):
    """Encodes by a given matrix."""

    def __init__(self, matrix: torch.Tensor):
        super().__init__()
        self.matrix = matrix

    def encode(self, x):
        return x @ self.matrix


def test_entanglement_prefers_a_latent_for_each_factor():
    factors = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0)).repeat(20, 1)
    ruler = Ruler(factors=factors.numpy())
    apart, mixed = torch.eye(2), torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    good, bad = (validation(Latents(m), factors, ["entanglement"], ruler)["entanglement"] for m in (apart, mixed))
    assert good < 0.05 < 0.5 < bad
    with pytest.raises(ConfigError, match="distortion_at_rate"):
        validation(Latents(apart), factors, ["entanglement"])


def test_distortion_at_rate_counts_the_rate_beyond_the_stated_one():
    row = row_named("vae")
    model, x = ready(row), data_of(row)
    front = {"rate": "vae.rate_nats", "distortion": "vae.distortion_mse"}
    with torch.no_grad():
        terms = model.loss(x, Noise(0)).terms
    rate, distortion = terms["rate_nats"].item(), terms["distortion_mse"].item()
    for limit in (rate + 1, rate - 2):
        ruler = Ruler(front={**front, "rate_at_most": limit})
        found = validation(model, x, ["distortion_at_rate"], ruler)["distortion_at_rate"]
        assert found == pytest.approx(distortion + max(0.0, rate - limit))
    with pytest.raises(ConfigError, match="rate_at_most: 20"):
        validation(model, x, ["distortion_at_rate"], Ruler(front={**front, "rate_at_most": None}))
    with pytest.raises(ConfigError, match=r"did you mean 'vae\.rate_nats'"):
        wrong = {**front, "rate": "vae.rate_nat", "rate_at_most": 3.0}
        validation(model, x, ["distortion_at_rate"], Ruler(front=wrong))


def test_errors_name_the_metric_and_what_there_is():
    row = row_named("sn_wgan")
    with pytest.raises(ConfigError, match=r"unknown metric 'natts': did you mean 'nats'\?"):
        validation(ready(row), data_of(row), ["natts"])
    with pytest.raises(ConfigError, match="'nats' needs a density or bound, which SNWGAN is not: choose from mmd"):
        validation(ready(row), data_of(row), ["nats"])


@pytest.mark.parametrize("measure", [auroc, auroc_interval, average_precision])
@pytest.mark.parametrize(
    ("scores", "labels", "said"),
    [
        ([1.0, math.nan, 3.0], [0, 1, 1], "score 1 is nan"),
        ([1.0, 2.0], [0, 1, 1], "give one of each a row"),
        ([1.0, 2.0], [[0], [1]], "give one of each a row"),
    ],
)
def test_what_has_no_rank_is_refused(measure, scores, labels, said):
    with pytest.raises(DataError, match=said):
        measure(scores, labels)


@pytest.mark.parametrize("value", [0.0, 1013.26, 12345.678, 1.7e9])
def test_a_constant_column_is_zero_in_network_units(value):
    scale = DataScale([2], None)
    x = torch.stack([torch.full((1000,), value), torch.arange(1000.0)], dim=1)
    scale.fit(x)
    assert not scale.centre(x)[:, 0].any()
    torch.testing.assert_close(scale.shift[1], x[:, 1].mean(), rtol=0, atol=0)
