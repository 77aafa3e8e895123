"""From scores to decisions: the rates that are stated hold, the reasons name what is wrong, nothing else is guessed."""

import contextlib
import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy.stats import norm
from torch import nn

from gen_models.anomalies.calibration import FILE, Calibration, load_calibration, save_calibration
from gen_models.anomalies.conformal import (
    attained,
    conformal_p,
    least_rows,
    most_flagged,
    q_values,
    require_rows,
    threshold,
)
from gen_models.anomalies.contributions import Search, marginals
from gen_models.anomalies.rarity import Rarity
from gen_models.anomalies.score import Setting
from gen_models.anomalies.scores import fit_scores
from gen_models.anomalies.unusual_columns import UnusualColumns
from gen_models.build import build_model
from gen_models.checkpoint import save_model
from gen_models.errors import CheckpointError, ConfigError, DataError, GenModelsError
from gen_models.measures.pixel_ranking import pixel_auroc
from gen_models.measures.ranking import auroc, average_precision
from gen_models.noise import Noise
from gen_models.table import Column, Schema
from pipelines.commands import drift, predict, score
from pipelines.commands.input_rows import read_as, read_blocks
from pipelines.commands.output_file import _array, whole
from pipelines.commands.stored_model import open_stored
from pipelines.comparison.anomalies import Case, curves
from pipelines.config.conf_files import data_conf
from pipelines.config.params import Run
from pipelines.data import add_data, prepare
from pipelines.data.about_rows import about_rows
from pipelines.data.sources.files import origin_of
from pipelines.data.store import open_data
from pipelines.data.tables.open_table import Reading
from pipelines.evaluation.column_counts import counted_columns
from pipelines.evaluation.metrics.two_sample import two_sample_accuracy
from pipelines.evaluation.reasons import Reason, Reasons
from pipelines.evaluation.row_scores import score_rows, write_calibration
from pipelines.evaluation.score_facts import score_facts
from pipelines.evaluation.trained_run import Trained
from pipelines.registry import serving
from pipelines.runtime import paths
from pipelines.scoring import score_file
from pipelines.scoring.cluster_profiles import ClusterProfiles
from pipelines.scoring.column_drift import ColumnDrift, Moved
from pipelines.scoring.drift import compare
from pipelines.scoring.kept_rows import KeptRows
from tests.project import make_project, params_of

RNG = np.random.default_rng(0)
SCORES = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=40).map(np.array)

# conformal p-values and decisions


@given(SCORES, SCORES, st.sampled_from([0.02, 0.05, 0.1, 0.25, 0.5, 0.9]))
def test_a_row_is_called_if_its_score_is_above_the_threshold(calibration, scores, rate):
    np.testing.assert_array_equal(conformal_p(calibration, scores) <= rate, scores > threshold(calibration, rate))


@given(st.integers(1, 400), st.floats(0.001, 0.999))
def test_a_rate_is_refused_if_and_only_if_no_row_could_be_called_and_the_advice_is_enough(rows, rate):
    can_be_called = conformal_p(np.zeros(rows), [1.0])[0] <= rate * (1 + 1e-9)
    assert can_be_called == (rows >= least_rows(rate))
    if can_be_called:
        require_rows(rows, rate)
        return
    with pytest.raises(DataError, match=f"needs at least {least_rows(rate)}") as caught:
        require_rows(rows, rate)
    advised = str(caught.value).partition("give a rate of ")[2].split()[0]
    require_rows(rows, float(advised))


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=30), st.floats(0.01, 0.9))
def test_q_values_call_the_rows_that_benjamini_and_hochberg_call(p, rate):
    p = np.array(p)
    order = np.argsort(p)
    passed = np.flatnonzero(p[order] <= rate * np.arange(1, len(p) + 1) / len(p))
    called = np.zeros(len(p), dtype=bool)
    if len(passed):
        called[order[: passed[-1] + 1]] = True
    q = q_values(p)
    near = np.isclose(q, rate, rtol=1e-9)
    np.testing.assert_array_equal((q <= rate)[~near], called[~near])


def test_the_false_discovery_rate_is_at_most_the_stated_one_over_draws():
    alpha, draws, normal, odd = 0.2, 200, 180, 20
    shares = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        rows = np.concatenate([rng.normal(size=normal), rng.normal(3, 1, odd)])
        called = q_values(conformal_p(rng.normal(size=400), rows)) <= alpha
        shares.append(called[:normal].sum() / max(1, called.sum()))
    slack = 2.6 * np.std(shares) / math.sqrt(draws)
    assert np.mean(shares) <= alpha * normal / (normal + odd) + slack
    assert np.mean(shares) > 0.05  # rows are called at all


def test_a_row_without_a_score_has_no_p_value_and_takes_none_from_the_others():
    scores = np.array([0.5, np.nan, 3.5])
    p = conformal_p(np.arange(9.0), scores)
    assert np.isnan(p).tolist() == [False, True, False]
    np.testing.assert_array_equal(q_values(p)[[0, 2]], q_values(p[[0, 2]]))


# reasons


def _added(search: Search, x: torch.Tensor) -> torch.Tensor:
    """Return what each column adds to the score of each row."""
    return UnusualColumns(search, math.inf, 0, lambda: None).of(x, [()] * len(x))[0]


def test_what_a_column_adds_to_a_sum_is_its_own_score_less_its_smallest():
    x, usual = torch.randn(7, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    found = _added(Search(lambda rows: rows.exp().sum(dim=1), usual, [(0, 1), (1, 3)]), x)
    own, least = x.exp(), usual.exp()
    pair = own[:, 1:].sum(dim=1) - least[:, 1:].sum(dim=1).min()
    torch.testing.assert_close(found, torch.stack([own[:, 0] - least[:, 0].min(), pair], dim=1))


def test_what_a_value_adds_by_itself_to_a_sum_is_what_it_adds_to_every_row():
    x, usual = torch.randn(7, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    groups = [(0, 1), (1, 3)]

    def score(rows: torch.Tensor) -> torch.Tensor:
        return rows.exp().sum(dim=1)

    search = Search(score, usual, groups)
    rarity = Rarity(search, usual[torch.randperm(len(usual))])
    found = [[rarity.of(j, row[slice(*group)]) for j, group in enumerate(groups)] for row in x]
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), _added(search, x))


@dataclass
class Drawn:
    """Scores of a model that draws the rows x."""

    x: np.ndarray
    nll: Callable[[torch.Tensor], torch.Tensor]

    @property
    def model(self) -> "Drawn":
        return self

    def sample(self, n: int, noise: Noise) -> torch.Tensor:
        return torch.from_numpy(self.x[:n])

    def __call__(self, name: str, z: torch.Tensor) -> torch.Tensor:
        return self.nll(z)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ([1.0, 0.1, 0.1], r"insured no \(10% of the training rows\)"),
        ([0.0, 3.0, 0.1], r"amount 3 \(among the usual 0\.0\d* to 3\.\d*\)"),
        ([1.0, 0.1, 20.0], r"fee 20 \(usually [^;]*\)$"),  # an ordinary row but for its fee
        (
            [1.0, 3.3, 20.0],
            r"fee 20 \(usually .*\); amount 3.3 \(among the usual .*\); insured no \(10% of the training rows\)$",
        ),
    ],
)
def test_a_value_that_is_rare_whatever_the_others_are_is_not_called_unfit_for_them(row, told):
    """Three columns that know nothing of one another: a flag that is "no" in one row of ten, and two waiting times."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.random(4000) < 0.1, *rng.exponential(1, (2, 4000))], axis=1).astype(np.float64)
    columns = (Column("insured", "flag", values=("yes", "no")), Column("amount"), Column("fee"))
    facts = {"event_shape": [3], "levels": None, "table": {"columns": Schema(columns).as_json()}}
    usual = marginals(torch.from_numpy(x), [(k, k + 1) for k in range(3)])
    minus_log_p = torch.tensor([np.log(9), 1, 1], dtype=torch.float64)
    counts = counted_columns(facts, x, usual.numpy())
    known = Calibration({"nll": np.sort(x @ minus_log_p.numpy())}, usual=usual, counts=counts)
    (reason,) = Reasons(Drawn(x, lambda z: z @ minus_log_p), "nll", known, facts).of(np.array([row]))
    assert re.match(told, reason.text), reason.text


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ([8.0, 0.0, 0.0], ["a"]),  # b is named too if a column is looked at by itself
        ([8.0, 0.0, 8.0], ["a", "c"]),
        ([1.5, -1.5, 0.0], ["a", "b"]),  # each is usual, and they do not go together
        ([90.0, 0.0, 0.0], ["a"]),
        ([90.0, 30.0, 0.0], ["a", "b"]),  # to make b usual beside this a would not help
    ],
)
def test_a_column_beside_an_extreme_one_is_named_only_for_its_own_part(row, named):
    x = np.random.default_rng(0).multivariate_normal([0, 0, 0], [[1, 0.95, 0], [0.95, 1, 0], [0, 0, 1]], 4000)
    precision = torch.from_numpy(np.linalg.inv(np.cov(x.T)))
    usual = marginals(torch.from_numpy(x), [(k, k + 1) for k in range(3)])
    facts = {"event_shape": [3], "table": {"columns": Schema(tuple(map(Column, "abc"))).as_json()}}

    scores = Drawn(x, lambda z: ((z @ precision) * z).sum(dim=1) / 2)
    known = Calibration({"nll": np.sort(scores("nll", torch.from_numpy(x)).numpy())}, usual=usual)
    (reason,) = Reasons(scores, "nll", known, facts).of(np.array([row]))
    assert sorted(part.split()[0] for part in reason.text.split("; ")) == named
    assert (row == [1.5, -1.5, 0.0]) == (reason.text.count("(usual, but not with the other values)") == 2)


@pytest.mark.parametrize(
    ("row", "named", "said"),
    [
        ([60.0, 16.0, 0.0], ["kwh", "price"], "usual, but not with the other values"),
        ([140.0, 42.0, 0.5], ["kwh", "price"], "usually"),  # the price that follows from this amount
        ([60.0, 18.0, 9.0], ["persons"], "usually"),
    ],
)
def test_a_number_that_follows_from_another_is_named_where_it_does_not_and_beside_it_where_both_are_far_out(
    row, named, said
):
    """None of sixteen usual prices goes with an amount, and none at all with a very large one."""
    rng = np.random.default_rng(0)
    kwh = rng.normal(50, 15, 4000)
    x = np.stack([kwh, 0.3 * kwh + rng.normal(0, 0.001, 4000), rng.normal(size=4000)], axis=1)
    usual = marginals(torch.from_numpy(x), [(k, k + 1) for k in range(3)])
    facts = {
        "event_shape": [3],
        "table": {"columns": Schema(tuple(map(Column, ("kwh", "price", "persons")))).as_json()},
    }

    def nll(z: torch.Tensor) -> torch.Tensor:
        return (((z[:, 0] - 50) / 15) ** 2 + ((z[:, 1] - 0.3 * z[:, 0]) / 0.001) ** 2 + z[:, 2] ** 2) / 2

    known = Calibration({"nll": np.sort(nll(torch.from_numpy(x)).numpy())}, usual=usual)
    (reason,) = Reasons(Drawn(x, nll), "nll", known, facts).of(np.array([row]))
    assert sorted(part.split()[0] for part in reason.text.split("; ")) == named
    assert reason.text.count(f"({said}") == len(named)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        # each of these two by itself would make the row ordinary, an outage would not
        ([33.46, 14.0, 0.0, 0.0], {0: True, 1: True}),
        ([52.3, 9.0, 0.0, 0.0], {0: True, 1: True}),
        ([33.46, 14.0, 0.0, 7.0], {0: True, 1: True, 3: False}),
        ([33.46, 0.3 * 33.46, 0.0, 7.0], {3: False}),
        ([33.46, 0.3 * 33.46, 0.0, 0.0], {}),
        ([40.0, 25.0, 0.0, 0.0], {1: True}),  # no usual amount goes with this price
        ([80.0, 15.0, 0.0, 0.0], {0: True}),
        ([80.0, 15.0, 0.0, 7.0], {0: True, 3: False}),
        ([67.51, 15.0, 0.0, 0.0], {0: True, 1: True}),  # an amount just beyond the usual ones, and a price too low
    ],
)
def test_the_columns_that_make_a_row_unusual_are_named_where_the_score_has_narrow_valleys(row, named):
    """A price is 0.3 times an amount, but for rows of 20.5 and those with an outage, which are never ordinary."""
    rows = torch.arange(16, dtype=torch.float64)
    usual = torch.stack([4.5 * rows, 1.35 * rows.roll(5), rows % 2, rows / 16 - 0.5], dim=1)
    groups = [(k, k + 1) for k in range(4)]

    def score(z: torch.Tensor) -> torch.Tensor:
        kwh, price, outage, other = z.T
        follows = ((price - 0.3 * kwh) / 0.005) ** 2 / 2 + torch.where(outage > 0.5, torch.inf, 0)
        decoy = 12 + ((price - 20.5) / 0.3) ** 2 / 2
        broad = 11 + ((price - 0.3 * kwh) / 5) ** 2 / 2
        return torch.minimum(follows, torch.minimum(decoy, broad + 50 * (outage < 0.5))) + other**2

    search = Search(score, usual, groups, {groups[0]: 0, groups[1]: 0.01, groups[3]: 0})
    x = torch.tensor([row], dtype=torch.float64)
    odd = [j for j in range(4) if not usual[:, j].min() <= x[0, j] <= usual[:, j].max()]
    _, (found,) = UnusualColumns(search, 5, 4, lambda: None).of(x, [odd])
    assert {one.column: one.is_unfit for one in found} == named


def test_of_two_columns_that_do_not_go_together_the_one_out_of_its_range_is_named_first():
    usual = torch.linspace(-3, 3, 16, dtype=torch.float64)[:, None].expand(-1, 2)
    groups = [(0, 1), (1, 2)]

    def score(z: torch.Tensor) -> torch.Tensor:
        return 50 * (z[:, 0] - z[:, 1]) ** 2 + (3.1 - z[:, 1]).clamp(min=0)  # it falls a little further by column 0

    search = Search(score, usual, groups, dict.fromkeys(groups, 0.0))
    x = torch.tensor([[1.0, 3.1]], dtype=torch.float64)
    added, (named,) = UnusualColumns(search, 5, 4, lambda: None).of(x, [[1]])
    assert added[0, 0] > added[0, 1] and [one.column for one in named] == [1, 0]


@pytest.mark.parametrize("has_draws", [False, True])
def test_columns_far_out_together_are_named_where_usual_ones_hold_them_there(has_draws):
    """A price follows from a weight and a distance, and a tax from the price, and no drawn row goes with x."""
    weight, distance, other = np.random.default_rng(0).standard_normal((3, 256))
    price = weight + distance
    drawn = torch.from_numpy(np.stack([weight, distance, price, price / 5, other], axis=1))

    def score(z: torch.Tensor) -> torch.Tensor:
        weight, distance, price, tax, other = z.T
        ties = (price - weight - distance) ** 2 + (tax - price / 5) ** 2
        return (weight**2 + distance**2 + other**2) / 2 + ties / 1e-8

    groups = [(k, k + 1) for k in range(5)]
    search = Search(score, marginals(drawn, groups), groups, dict.fromkeys(groups, 0.0))
    unusual = UnusualColumns(search, 5, 4, lambda: drawn if has_draws else None)
    x = torch.tensor([[8.0, 0.5, 8.5, 1.7, 0.7], [0.5, 0.2, 0.7, 0.14, 8.0]], dtype=torch.float64)
    _, found = unusual.of(x, [[0, 2, 3], [4]])
    assert [{one.column for one in columns} for columns in found] == [{0, 2, 3}, {4}]


def test_a_value_that_two_others_contradict_is_told_although_no_change_of_one_of_them_would_help():
    cov = np.full((3, 3), 0.95) + 0.05 * np.eye(3)
    x = np.random.default_rng(0).multivariate_normal(np.zeros(3), cov, 4000)
    precision = torch.from_numpy(np.linalg.inv(cov))
    usual = marginals(torch.from_numpy(x), [(k, k + 1) for k in range(3)])
    facts = {"event_shape": [3], "table": {"columns": Schema(tuple(map(Column, "abc"))).as_json()}}
    scores = Drawn(x, lambda z: ((z @ precision) * z).sum(dim=1) / 2)
    known = Calibration({"nll": np.sort(scores("nll", torch.from_numpy(x)).numpy())}, usual=usual)
    (reason,) = Reasons(scores, "nll", known, facts).of(np.array([[1.5, -1.5, -1.5]]))
    assert reason.text.split("; ")[0] == "a 1.5 (usual, but not with the other values)"


@pytest.mark.parametrize("step", [0, 0.25])
def test_between_usual_values_a_number_is_searched_on_its_grid(step):
    usual, x = torch.linspace(0, 10, 16, dtype=torch.float64)[:, None], torch.tensor([[9.0]], dtype=torch.float64)
    at = 3.1415

    def score(rows: torch.Tensor) -> torch.Tensor:
        return (rows[:, 0] - at).abs()

    found = _added(Search(score, usual, [(0, 1)], {(0, 1): step}), x)
    assert found.item() == pytest.approx(9 - at - (abs(3.25 - at) if step else 0), abs=1e-3)
    assert _added(Search(score, usual, [(0, 1)]), x).item() < found.item()


def test_usual_values_are_values_of_the_column_as_often_as_it_has_them():
    number = torch.tensor([5.0, 1.0, 1.0, 9.0]).repeat(8)
    category = torch.eye(3)[torch.tensor([0, 0, 0, 2]).repeat(8)]
    found = marginals(torch.cat([number[:, None], category], dim=1), [(0, 1), (1, 4)], quantiles=16)
    assert sorted(found[:, 0].tolist()) == [1.0] * 8 + [5.0] * 4 + [9.0] * 4
    assert found[:, 1:].sum(dim=0).tolist() == [12, 0, 4]


@given(st.lists(st.integers(1, 400), min_size=3, max_size=30))
def test_a_category_is_usual_only_if_all_more_frequent_ones_are(counts):
    category = torch.eye(len(counts)).repeat_interleave(torch.tensor(counts), dim=0)
    seats = marginals(category, [(0, len(counts))]).sum(dim=0).numpy()
    share = 16 * np.array(counts) / sum(counts)
    assert seats.sum() == 16 and (abs(seats - share) < 1).all()
    order = np.argsort(-share, kind="stable")
    assert (np.diff(seats[order])[np.diff(share[order]) < 0] <= 0).all()


@given(st.lists(st.lists(st.integers(0, 50) | st.none(), max_size=9), max_size=6), st.integers(0, 5))
def test_the_kept_rows_are_those_with_the_smallest_keys(blocks, most):
    kept, start = KeptRows(most), 0
    for block in blocks:
        keys = np.array([math.nan if key is None else float(key) for key in block])
        places = np.arange(start, start + len(block))
        kept.add(keys, places, places[:, None] * 10.0)
        start += len(block)
    keys = [(key, place) for place, key in enumerate(key for block in blocks for key in block) if key is not None]
    expected = [place for _, place in sorted(keys)[:most]]
    assert kept.places.tolist() == expected
    assert kept.x is None or kept.x[:, 0].tolist() == [10.0 * place for place in expected]


# pixels


def test_the_area_over_pixels_is_that_of_all_pixels_and_its_interval_holds_it():
    maps = RNG.normal(size=(12, 9, 7))
    masks = (RNG.random((12, 9, 7)) < 0.2).astype(np.uint8)
    area, low, high = pixel_auroc(maps + masks, masks, seed=0)
    assert area == pytest.approx(auroc((maps + masks).ravel(), masks.ravel()), abs=1e-3)
    assert 0.5 < low < area < high < 1
    assert pixel_auroc(masks.astype(float), masks, seed=0) == (1.0, 1.0, 1.0)
    with pytest.raises(DataError, match="0 of 756 pixels are of a defect"):
        pixel_auroc(maps, 0 * masks, seed=0)


# the commands


def write_rows(path: Path, rows: int, seed: int, **changed: object) -> Path:
    """A CSV of bookings: amount and fee go together, shop is a word. changed: cells of the last row"""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "amount", "fee", "shop"])
        writer.writeheader()
        for k in range(rows):
            amount = float(rng.normal(50, 10))
            row = {"id": f"b{seed}-{k}", "amount": f"{amount:.3f}", "fee": f"{amount / 10 + rng.normal(0, 0.1):.3f}"}
            row["shop"] = str(rng.choice(["north", "south"]))
            writer.writerow(row | (changed if k == rows - 1 else {}))
    return path


@pytest.fixture(scope="module")
def bookings(tmp_path_factory):
    """A project with a mixture of a table: (folder of its checkpoint, its calibration file, the trained run)."""
    root = make_project(tmp_path_factory.mktemp("bookings"), params_of({}, data=[]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        add_data.main(["bookings", str(write_rows(root / "bookings.csv", 800, seed=1))])
        prepare.main(["bookings"])
        data = open_data("bookings")
        spec = {
            "_target_": "gen_models.mixtures.gaussian_mixture.GaussianMixture", "event_shape": list(data.event_shape),
            "levels": data.schema.levels, "components": 2, "covariance": "full",
        }  # fmt: skip
        model = build_model(spec, 0)
        model.warm_start(data.rows("train"), Noise(0))
        folder = paths.out("train", "gmm-bookings")
        folder.mkdir(parents=True)
        save_model(folder / "checkpoint", spec, model, data=about_rows(data, data_conf("bookings")))
        trained = Trained(Run("gmm-bookings", "gmm", "bookings", "gmm-bookings"), model.eval(), data, folder)
        write_calibration(trained, score_rows(trained, 0), root)
        yield folder / "checkpoint", root / FILE, trained


@pytest.fixture
def ask(bookings, monkeypatch):
    """Run `gen-models score` on the mixture with more words; return the rows of its answer."""
    folder, calibration, _ = bookings
    monkeypatch.setenv("GEN_MODELS_ROOT", str(calibration.parent))

    def asked(path: Path, *words: str) -> list[dict[str, str]]:
        out = path.with_name("scores.csv")
        score.main([str(folder), str(path), "--calibration", str(calibration), "--out", str(out), *words])
        with out.open(newline="") as file:
            return list(csv.DictReader(file))

    return asked


def test_the_rows_that_are_called_are_those_with_p_at_most_the_rate_and_reasons_name_the_column(ask, tmp_path, capsys):
    rows = ask(write_rows(tmp_path / "may.csv", 300, seed=2, fee=6.5, amount=40), "--fpr", "0.05")
    assert list(rows[0]) == ["id", "score", "p", "q", "decision", "rank", "reason", "problem", "model", "data"]
    assert [row["id"] for row in rows] == [f"b2-{k}" for k in range(300)]
    assert all((row["decision"] == "anomaly") == (float(row["p"]) <= 0.05) for row in rows)
    assert 3 <= sum(row["decision"] == "anomaly" for row in rows) <= 30  # 15 are expected of normal rows
    assert rows[-1]["rank"] == "1"
    both = [f"{cell} (usual, but not with the other values)" for cell in ("amount 40", "fee 6.5")]
    assert sorted(rows[-1]["reason"].split("; ")) == both
    (last,) = ask(write_rows(tmp_path / "june.csv", 1, seed=2, fee=60, amount=40))
    assert last["reason"].startswith("fee 60 (usually ")
    assert all(bool(row["reason"]) == (row["decision"] == "anomaly") for row in rows)
    assert (
        " of 300 rows are flagged as anomalies at a false-positive rate of 0.05; if all rows were normal, about 14.9"
        in capsys.readouterr().err
    )
    assert (tmp_path / "scores.png").is_file()


def test_the_file_that_the_data_were_made_from_is_told_and_no_other_file(bookings, monkeypatch, tmp_path, capsys):
    folder, calibration, _ = bookings
    root = calibration.parent
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    stored = replace(open_stored(str(folder)), lineage={"source": json.dumps(origin_of(root / "bookings.csv"))})
    monkeypatch.setattr("pipelines.scoring.scored_rows.open_stored", lambda _name: stored)
    other = tmp_path / "other.csv"
    other.write_text((root / "bookings.csv").read_text().replace("b1-7,", "b1-8,"))  # as many bytes
    for path in (root / "bookings.csv", other):
        score.main([str(folder), str(path), "--calibration", str(calibration), "--out", str(tmp_path / "scores.csv")])
        told = capsys.readouterr().err
        assert (f"{path.name} is the file that {folder} was made from" in told) == (path != other)


@pytest.mark.parametrize(
    ("change", "options", "advice"),
    [
        (lambda text: text.replace(",", ";").replace(".", ","), ["--decimal", ","], "say --decimal ,"),
        (lambda text: text.replace("north", "nörth"), ["--encoding", "latin-1"], "say --encoding cp1252"),
    ],
)
def test_the_same_rows_in_another_layout_are_read_by_the_option_that_the_refusal_names(
    ask, tmp_path, change, options, advice
):
    plain = write_rows(tmp_path / "may.csv", 40, seed=3)
    other = tmp_path / "june.csv"
    other.write_text(change(plain.read_text()), encoding="latin-1")
    with pytest.raises(GenModelsError, match=advice):
        ask(other)
    found, wanted = ask(other, *options), ask(plain)
    assert [bool(row["score"]) for row in found] == ["nörth" not in row["problem"] for row in found]
    known = [(row, same) for row, same in zip(found, wanted, strict=True) if row["score"]]
    assert len(known) > 10 and all(row["score"] == same["score"] for row, same in known)


def test_a_file_in_another_encoding_or_with_points_for_commas_gets_the_option_that_reads_it(tmp_path):
    columns = (Column("Stück", "count"), Column("Preis", step=0.01))
    reading = {"encoding": "cp1252", "decimal": ",", "thousands": "."}
    facts = {"event_shape": [2], "table": {"columns": Schema(columns).as_json(), "reading": reading}}
    path = tmp_path / "mai.csv"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text("Stück;Preis\n3;1.149,22\n", encoding=encoding)
        with pytest.raises(DataError, match=r"mai\.csv: its header is UTF-8, not cp1252: say --encoding utf-8$"):
            next(read_blocks(path, facts))
    path.write_text("Stück;Preis\n3;1.149,22\nÁ;2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"mai\.csv: byte 0x81 is not CP1252; say --encoding utf-8;"):
        list(read_blocks(path, facts))
    path.write_text("Stück;Preis\n3;1.149,22\n", encoding="utf-8")
    facts = read_as(facts, encoding="utf-8")
    assert next(read_blocks(path, facts)).x.tolist() == [[3, pytest.approx(1149.22)]]
    path.write_text("Stück,Preis\n3,149.22\n4,12.5\n", encoding="utf-8")
    problem = next(read_blocks(path, facts)).problems[0]
    assert problem.endswith("'149.22' is not a number; a decimal point? say --decimal .")
    assert next(read_blocks(path, read_as(facts, decimal="."))).x[:, 1].tolist() == pytest.approx([149.22, 12.5])
    facts["table"]["reading"] = {"decimal": ","}
    path.write_text("Stück;Preis\n3;49,22\n4;4.902\n", encoding="utf-8")  # read as 4.902, a large sum looks usual
    problem = next(read_blocks(path, facts)).problems[1]
    options = "say --thousands . if the point stands between thousands, else --thousands none"
    assert problem == f"Preis: '4.902' is not a number; {options}"
    for mark, value in ((".", 4902), ("", 4.902)):
        x = next(read_blocks(path, read_as(facts, thousands=mark))).x
        assert x[:, 1].tolist() == pytest.approx([49.22, value])
    path.write_text("Stück;Preis\n4;4.902\n", encoding="utf-8")
    assert next(read_blocks(path, facts)).problems[0] == problem, "whatever else the file holds"


@pytest.mark.parametrize(("rows", "rate"), [(195, 0.01), (99, 0.01), (250, 0.02), (19, 0.05)])
def test_the_number_of_flags_that_is_foretold_is_that_of_normal_rows(rows, rate):
    """With 195 calibration rows, no p-value lies between 1/196 and 2/196, so that 0.01 flags 0.5% of normal rows."""
    scores = RNG.normal(size=(40_000, rows + 1))  # the last is a normal row, exchangeable with the others
    p = (1 + (scores[:, :-1] >= scores[:, -1:]).sum(axis=1)) / (rows + 1)
    share = attained(rows, rate)
    assert share <= rate and abs((p <= rate).mean() - share) < 4 * math.sqrt(share / 40_000)
    k = math.floor(rate * (rows + 1) + 1e-9)
    shares = norm.sf(np.sort(scores[:, :-1], axis=1)[:, -k])  # of normal rows beyond the threshold of each draw
    for count in (20, 400):
        found, most = RNG.binomial(count, shares), most_flagged(count, rows, rate)
        by_chance = 4 * math.sqrt(0.025 / 40_000)
        assert (found > most).mean() < 0.025 + by_chance and (found >= most).mean() > 0.025 - by_chance


def test_a_word_of_the_new_file_may_mean_missing(ask, tmp_path):
    path = write_rows(tmp_path / "may.csv", 3, seed=3, amount="n.v.")
    assert ask(path)[-1]["problem"].startswith("amount: 'n.v.' is not a number")
    assert ask(path, "--missing", "n.v.")[-1]["problem"].startswith("amount: missing")


def test_a_point_that_may_stand_between_thousands_is_asked_about_and_the_answer_reads_it(tmp_path, capsys):
    """Read as 2.304, thousands would be a thousandth of what they are, and only their scores would tell."""
    table = {"columns": Schema((Column("x", step=0.01),)).as_json(), "reading": {}}
    facts = {"event_shape": [1], "table": table, "statistics": {"mean": [2600.0], "std": [900.0]}}
    path = tmp_path / "june.csv"

    def read(*cells: str, **said: str) -> tuple[list[float], bool]:
        path.write_text("\n".join(["x", *cells]) + "\n")
        block = next(read_blocks(path, read_as(facts, **said)))
        assert not block.problems
        is_asked = "; if the point stands between thousands, say --thousands ." in capsys.readouterr().err
        return block.x[:, 0].tolist(), is_asked

    assert read("2.304", "2.310", "812") == ([pytest.approx(2.304), pytest.approx(2.31), 812], True)
    assert read("2.304", "2.310", "812", thousands=".") == ([2304, 2310, 812], False)
    assert read("2.304", "2.310", "812", decimal=".")[1] is False, "somebody said what a point is"
    assert read("2.304", "2.31", "812")[1] is False, "no mark between thousands stands before two digits"
    assert read("2304.125", "2.304")[1] is False, "nor behind four"
    facts["statistics"]["mean"] = [2.5]
    assert read("2.304", "2.310")[1] is False, "as in the training rows"


def test_one_mark_is_never_both_the_decimal_and_that_of_thousands():
    """With both as a point, 12.345 would be read as 12345, and no problem told."""
    facts = {"table": {"columns": [], "reading": {"decimal": ",", "thousands": "."}}}
    assert read_as(facts, decimal=".")["table"]["reading"] == {"decimal": ".", "thousands": None}
    assert read_as(facts, thousands=",")["table"]["reading"] == {"decimal": ".", "thousands": ","}
    assert read_as(facts, encoding="cp1252", decimal=None)["table"]["reading"] | {"encoding": ""} == {
        "decimal": ",", "thousands": ".", "encoding": "",
    }  # fmt: skip
    with pytest.raises(DataError, match="cannot be both"):
        read_as(facts, decimal=",", thousands=",")
    with pytest.raises(ConfigError, match=r"options\.thousands: '\.' cannot be the decimal mark too; give two marks"):
        Reading(decimal=".", thousands=".")
    assert (Reading(thousands=".").point, Reading(thousands=",").point, Reading().point) == (",", ".", ".")
    of_training = {"table": {"columns": [], "reading": {"missing": ["?"]}}}
    assert read_as(of_training, missing=["n.v."])["table"]["reading"]["missing"] == ["?", "n.v."]
    with pytest.raises(DataError, match="--decimal: this model was not trained on a table"):
        read_as({}, decimal=",")


@pytest.mark.parametrize("option", ["--out", "--explain"])
def test_a_file_that_cannot_be_written_is_told_before_the_rows_are_read(bookings, monkeypatch, option):
    folder, calibration, _ = bookings
    monkeypatch.setenv("GEN_MODELS_ROOT", str(calibration.parent))
    with pytest.raises(DataError, match=r"/proc/no/o\.csv: cannot be written"):
        score.main([str(folder), "not_there.csv", "--calibration", str(calibration), option, "/proc/no/o.csv"])


def test_a_row_with_a_problem_has_a_reason_for_it_and_no_decision(ask, tmp_path):
    good = ask(write_rows(tmp_path / "may.csv", 40, seed=3), "--fdr", "0.2")
    bad = ask(write_rows(tmp_path / "june.csv", 40, seed=3, shop="mars"), "--fdr", "0.2")
    assert bad[-1]["problem"].startswith("shop: 'mars' is not among")
    assert [bad[-1][name] for name in ("score", "p", "q", "decision", "rank", "reason")] == [""] * 6
    for before, after in zip(good[:-1], bad[:-1], strict=True):
        assert (before["score"], before["p"]) == (after["score"], after["p"])
    with pytest.raises(DataError, match=r"june\.csv, line 41: shop: 'mars'"):
        ask(tmp_path / "june.csv", "--strict")


def test_a_row_whose_score_is_no_number_takes_no_other_with_it(ask, bookings, tmp_path, capsys):
    path = write_rows(tmp_path / "may.csv", 30, seed=8, amount=9.96921e36, fee=-3.4028235e38)  # marks of missing cells
    rows = ask(path)
    out = tmp_path / "predicted.csv"
    predict.main([str(bookings[0]), str(path), "--output", str(out)])
    with out.open(newline="") as file:
        predicted = list(csv.DictReader(file))
    assert [row["nll"] for row in predicted] == [row["score"] for row in rows]
    assert all(row["score"] and not row["problem"] for row in rows[:-1])
    last = rows[-1]
    assert last["problem"] or float(last["score"]) == math.inf, last


@pytest.mark.parametrize("amount", [1e25, -1e30])
def test_a_cell_that_makes_a_score_infinite_is_named_and_told(ask, bookings, tmp_path, capsys, amount):
    path = write_rows(tmp_path / "may.csv", 30, seed=8, amount=amount)
    *_, last = ask(path, "--fpr", "0.05")
    assert (last["score"], last["decision"], last["rank"]) == ("inf", "anomaly", "1")
    assert last["reason"].startswith(f"amount {amount:.6g} (usually ") and "; " not in last["reason"]
    assert " of 30 rows are flagged" in capsys.readouterr().err


def test_under_a_false_discovery_rate_the_picture_marks_where_rows_are_called(ask, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(score_file, "draw", lambda *drawing: drawn.append(drawing[-1]))
    rows = ask(write_rows(tmp_path / "may.csv", 40, seed=3, amount=900), "--fdr", "0.5")
    called = [float(row["score"]) for row in rows if row["decision"] == "anomaly"]
    assert called and drawn[0] == pytest.approx(min(called))
    ask(write_rows(tmp_path / "june.csv", 40, seed=3), "--fdr", "0.03")
    assert math.isnan(drawn[1]), "no row is called"
    assert math.isnan(score_file._edge(np.arange(9.0), None)), "nine rows know no score that 5% of normal rows exceed"


def test_an_input_that_cannot_be_opened_is_not_blamed_on_the_output(tmp_path):
    with (
        pytest.raises(DataError, match=r"/not there: cannot be used \(No such file"),
        whole(tmp_path / "a.csv") as file,
    ):
        file.write(b"half")
        (tmp_path / "not there").open()
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"a\.csv: cannot be written \(No space left"), whole(tmp_path / "a.csv"):
        raise OSError(28, "No space left on device")


def test_rows_of_images_in_a_text_file_get_the_images_shape(tmp_path):
    images = np.random.default_rng(0).integers(0, 17, (5, 1, 8, 8))
    np.savetxt(
        tmp_path / "rows.csv", images.reshape(5, 64), fmt="%d", delimiter=",", header=",".join(map(str, range(64)))
    )
    (block,) = read_blocks(tmp_path / "rows.csv", {"event_shape": [1, 8, 8], "levels": 17})
    np.testing.assert_array_equal(block.x, images)


def test_an_infinite_score_is_a_score():
    labels, scores = np.array([False, False, True, True]), np.array([0.0, 1.0, np.inf, np.inf])
    (curve,) = curves([Case({"run": "a", "score": "nll", "auroc": 1.0, "is_default": True}, scores)], labels).values()
    assert np.interp(0.5, *curve) == 1
    assert average_precision(scores, labels) == 1
    assert two_sample_accuracy(torch.full((20, 2), 1e33), torch.zeros(20, 2), 0) == 1


def test_a_whole_number_beyond_64_bits_is_written():
    assert _array([1, 10**25]).to_pylist() == [1.0, 1e25]
    assert _array([10**25, "a"]).to_pylist() == [str(10**25), "a"]
    assert _array([1, 10**400]).to_pylist() == ["1", str(10**400)]


def test_a_time_within_the_usual_range_is_usual():
    column = Column("when", kind="time")
    facts = {"table": {"columns": Schema((column,)).as_json()}, "event_shape": [1]}
    seconds = torch.arange(1_700_000_000, 1_700_000_000 + 16 * 86_400, 86_400, dtype=torch.float64)[:, None]
    reasons = Reasons(None, "nll", Calibration({}, usual=seconds), facts)
    usual = reasons._ranges["when"]
    assert usual.text == "2023-11-14T22:13:20 to 2023-11-29T22:13:20"
    assert usual.holds("2023-11-20T00:00:00") and not usual.holds("2024-01-01T00:00:00")


def test_without_a_rate_nothing_is_decided_and_a_rate_that_cannot_be_kept_is_refused(ask, bookings, tmp_path, capsys):
    path = write_rows(tmp_path / "may.csv", 30, seed=4)
    assert {row["decision"] for row in ask(path)} == {""}
    assert "state --fpr 0.01 or --fdr 0.1 for decisions" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"and a rate of 0\.0001 needs at least 9999; give a rate of "):
        ask(path, "--fpr", "0.0001")
    with pytest.raises(DataError, match="give one of them"):
        ask(path, "--fpr", "0.1", "--fdr", "0.1")
    with pytest.raises(DataError, match="unknown score 'nl': did you mean 'nll'"):
        ask(path, "--score", "nl")
    with pytest.raises(
        DataError, match=r"a checkpoint has no calibration rows, so no p-values; give --calibration \S+"
    ):
        score.main([str(bookings[0]), str(path), "--fpr", "0.1"])


def test_what_each_column_adds_is_written_for_the_explained_rows(ask, tmp_path):
    why = tmp_path / "why.csv"
    rows = ask(write_rows(tmp_path / "may.csv", 30, seed=5, shop="south", amount=500), "--explain", str(why))
    with why.open(newline="") as file:
        parts = [row for row in csv.DictReader(file) if row["id"] == "b5-29"]
    assert rows[-1]["rank"] == "1"
    assert {row["column"] for row in parts} == {"amount", "fee", "shop"}
    assert parts[0]["column"] in ("amount", "fee") and float(parts[0]["adds"]) > 0
    assert next(row["value"] for row in parts if row["column"] == "amount") == "500"


def test_a_calibration_of_another_model_or_a_damaged_one_is_refused(ask, bookings, tmp_path):
    path = write_rows(tmp_path / "may.csv", 30, seed=6)
    folder, calibration, _ = bookings
    other = tmp_path / "other"
    save_model(other, json.loads(json.dumps({**SPEC, "components": 1})), build_model({**SPEC, "components": 1}, 0))
    with pytest.raises(DataError, match="calibration scores of another model than"):
        score.main([str(other), str(path), "--calibration", str(calibration)])
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(calibration.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="not a file of calibration scores"):
        score.main([str(folder), str(path), "--calibration", str(torn)])


@pytest.mark.parametrize(
    "about",
    ["{}", "[]", '{"states": ["nll"], "facts": [1]}', '{"states": [], "facts": {}}', '{"states": 3, "facts": {}}'],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path, about):
    path = tmp_path / "other.safetensors"
    save_file({"state/nll/mean": torch.zeros(1)}, path, {"about": about})
    with pytest.raises(CheckpointError, match=r"other\.safetensors: not a file of calibration scores"):
        load_calibration(path)


SPEC = {
    "_target_": "gen_models.mixtures.gaussian_mixture.GaussianMixture", "event_shape": [2], "levels": None,
    "components": 2, "covariance": "full",
}  # fmt: skip


def test_a_saved_calibration_is_the_same_and_its_scores_are_those_of_the_fit(tmp_path):
    model, x = build_model(SPEC, 0), torch.randn(60, 2)
    model.warm_start(x, Noise(0))
    fitted = fit_scores(model, x, Setting())
    of_rows = {name: RNG.normal(size=9) for name in fitted.names}
    counts = tuple(np.full((2, k + 1), float(k)) for k in range(11))  # of columns in their order, also the tenth
    kept = Calibration(of_rows, fitted.states, torch.randn(4, 2), {"seed": 3}, counts)
    save_calibration(kept, tmp_path / FILE)
    loaded = load_calibration(tmp_path / FILE)
    assert loaded.facts == kept.facts and loaded.rows == 9
    np.testing.assert_array_equal(loaded.scores["nll"], np.sort(kept.scores["nll"]))
    torch.testing.assert_close(loaded.usual, kept.usual, rtol=0, atol=0)
    for found, given_ in zip(loaded.counts, counts, strict=True):
        np.testing.assert_array_equal(found, given_)
    for name, values in fitted.all(x).items():
        torch.testing.assert_close(loaded.fitted(model, Setting())(name, x), values, rtol=0, atol=0)
    del of_rows["nll"]  # it was no number for some row, so the evaluation left it out
    assert Calibration(of_rows, fitted.states).fitted(model, Setting()).names == tuple(of_rows)


def test_a_served_model_answers_p_values_of_the_scores_that_it_answers(bookings):
    folder, calibration, trained = bookings
    facts, known = serving.facts_of(folder), load_calibration(calibration)
    x = trained.data.rows("test").numpy()
    p = serving.answer(trained.model, x, facts=facts, calibration=known, task="p_value")[:, 0]
    scores = serving.answer(trained.model, x, facts=facts, task="score")[:, 0]
    np.testing.assert_allclose(p, conformal_p(known.scores["nll"], scores.astype(np.float64)), rtol=1e-6)
    with pytest.raises(DataError, match="has no calibration rows, so it gives no p-value"):
        serving.answer(trained.model, x, facts=facts, task="p_value")


def test_no_training_row_is_in_the_calibration(bookings):
    _, calibration, trained = bookings
    usual = load_calibration(calibration).usual
    rows = {tuple(row) for row in trained.data.rows("train").tolist()}
    assert not rows & {tuple(row) for row in usual.tolist()}


# facts without labels


def test_every_score_has_facts_without_labels(bookings):
    trained = bookings[2]
    facts = {row["score"]: row for row in score_facts(trained, score_rows(trained, 0), None)}
    assert set(facts) == {"nll", "typicality", "likelihood_ratio", "mean_rank"} and facts["nll"]["is_default"]
    assert facts["nll"]["shift_p"] > 0.001  # calibration and test rows are of one split
    assert facts["nll"]["lamp"] == "" and [row["p"] for row in facts["nll"]["most"]] == sorted(
        row["p"] for row in facts["nll"]["most"]
    )


class Mean(nn.Module):
    """An autoencoder that has collapsed: it rebuilds every row as the mean of the training rows."""

    def __init__(self, mean):
        super().__init__()
        self.mean = nn.Parameter(mean)

    def reconstruct(self, x):
        return self.mean.expand_as(x)


def test_a_score_that_ranks_as_the_distance_to_the_mean_is_named(bookings):
    trained = replace(bookings[2], model=Mean(bookings[2].data.rows("train").mean(dim=0)))
    (facts,) = score_facts(trained, score_rows(trained, 0), None)
    assert facts["score"] == "reconstruction"
    assert facts["lamp"].startswith("ranks rows as the distance to the mean of the training rows does")


class Diverged(nn.Module):
    """An autoencoder whose training has diverged: it rebuilds one row in three as nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def reconstruct(self, x):
        return torch.where(x[:, :1] > x[:, :1].median(), x, torch.nan)


def test_a_score_that_is_no_number_is_left_out_of_an_evaluation(bookings):
    scored = score_rows(replace(bookings[2], model=Diverged()), 0)
    assert scored.left_out == ("reconstruction",)
    assert scored.test == scored.calibration == {} and scored.fitted.names == ()
    assert score_facts(replace(bookings[2], model=Diverged()), scored, None) == []


# drift


def test_rows_of_the_same_kind_do_not_drift_others_do_and_the_history_grows(bookings, tmp_path, monkeypatch, capsys):
    folder, calibration, _ = bookings
    monkeypatch.setenv("GEN_MODELS_ROOT", str(calibration.parent))
    history = tmp_path / "drift.csv"
    same, other = write_rows(tmp_path / "may.csv", 300, seed=7), tmp_path / "june.csv"
    lines = same.read_text().splitlines()
    dear = [line.split(",") for line in lines[1:]]
    other.write_text("\n".join([lines[0], *(f"{a},{float(b) * 1.6:.3f},{c},{d}" for a, b, c, d in dear)]))
    for path in (same, other):
        drift.main([str(folder), str(path), "--calibration", str(calibration), "--history", str(history)])
    written = history.read_text()
    with history.open(newline="") as file:
        may, june = list(csv.DictReader(file))
    assert float(may["p"]) > 0.01 and 0 <= float(may["unusual"]) < 0.12
    assert float(june["p"]) < 1e-6 and float(june["unusual"]) > 0.5
    said = capsys.readouterr().out
    assert "no difference from the calibration rows is seen" in said
    assert "no single column differs by more than chance explains" in said.splitlines()
    assert re.search(r"^amount: \d+% of the rows are (above|at least) [\d.]+, usually [\d.]+%$", said, re.MULTILINE)
    assert history.with_suffix(".png").is_file()
    words = ["--calibration", str(calibration), "--history", str(history), "--alarm", "0.001"]
    drift.main([str(folder), str(same), *words])
    capsys.readouterr()
    history.write_text(written.replace(f",{may['model']},", ",another@7,"))
    with pytest.raises(SystemExit, match=r"^3$"):
        drift.main([str(folder), str(other), *words])
    said = capsys.readouterr().out
    assert f": 1 line of {may['model']} and nll; " in said, "scores of another version are of another scale"
    assert len(history.read_text().splitlines()) == 4, "yet its lines stay"
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not a history of drift"):
        drift.main([str(folder), str(same), "--calibration", str(calibration), "--history", str(tmp_path / "list.csv")])
    assert (tmp_path / "list.csv").read_text() == "a,b\n1,2\n"
    capsys.readouterr()
    with contextlib.suppress(SystemExit):  # a column may still differ
        drift.main([str(folder), str(other), *words[:-1], june["p"]])
    said = capsys.readouterr().out
    assert "a difference from the calibration rows is likely" in said and "no difference from" not in said


def drift_of(scores: np.ndarray, calibration: np.ndarray) -> float:
    return compare(scores, calibration, name="", model="", score="").p


def test_a_few_rows_that_are_very_unusual_are_a_drift_and_chance_is_none():
    """The Kolmogorov-Smirnov test hardly sees them."""
    rng = np.random.default_rng(0)
    for calibration, odd in ((200, 40), (2000, 15)):
        known, rows = rng.normal(size=calibration), rng.normal(size=600)
        assert drift_of(rows, known) > 0.01 > drift_of(np.concatenate([rows[odd:], np.full(odd, 9.0)]), known)
    p = np.array([drift_of(rng.normal(size=300), rng.normal(size=200)) for _ in range(500)])
    for level in (0.05, 0.2):
        assert (p <= level).mean() <= level + 2.6 * math.sqrt(level * (1 - level) / len(p))


SCHEMA = Schema(
    (
        Column("amount"),
        Column("age", kind="count", missing="fill", fill=40.0),
        Column("paid", kind="flag", values=("no", "yes"), missing="fill", fill=1.0),
        Column("shop", kind="category", values=("north", "south", "web")),
        Column("income", missing="fill", fill=0.0),
        Column("fixed"),
    )
)
OF_TABLE = {"table": {"columns": SCHEMA.as_json()}, "event_shape": [len(SCHEMA.names)]}


def table_rows(n: int, seed: int, *, factor=1.0, web=0.2, lost=0.1, yes=0.7, no_income=0.8, fixed=5.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ages = np.where(rng.random(n) < lost, np.nan, rng.integers(18, 90, n))
    values = {
        "amount": factor * rng.lognormal(3, 1, n),
        "age": ages,
        "paid": np.where(rng.random(n) < 0.2, None, np.where(rng.random(n) < yes, "yes", "no")),
        "shop": rng.choice(["north", "south", "web"], n, p=[0.8 - web, 0.2, web]),
        "income": np.where(rng.random(n) < no_income, np.nan, rng.normal(size=n)),
        "fixed": np.full(n, fixed),
    }
    x, problems = SCHEMA.encode(values)
    assert not problems
    return x


def moved_columns(train: np.ndarray, *blocks: np.ndarray) -> list[Moved]:
    usual = marginals(torch.from_numpy(train), list(SCHEMA.groups.values())).numpy()
    drift = ColumnDrift(usual, counted_columns(OF_TABLE, train, usual), OF_TABLE)
    for block in blocks:
        drift.add(block)
    return drift.moved(0.01)


def test_a_cluster_is_told_by_its_rows_and_the_columns_in_which_it_differs():
    train = table_rows(4000, 0)
    usual = marginals(torch.from_numpy(train), list(SCHEMA.groups.values()))
    counts = counted_columns(OF_TABLE, train, usual.numpy())
    profiles = ClusterProfiles(Calibration({}, usual=usual, counts=counts), OF_TABLE)
    for seed in (1, 2):
        ordinary, of_web = table_rows(600, seed), table_rows(200, 10 + seed, web=0.8)
        profiles.add(np.concatenate([ordinary, of_web]), np.repeat([0.0, 3.0], [600, 200]))
    profiles.add(train[:1], np.array([np.nan]))
    first, second = profiles.lines()
    assert re.match(r"cluster 0: 1200 rows \(75%\); shop: 2\d% of the rows are web, in the others [78]\d%", first)
    assert re.match(r"cluster 3: 400 rows \(25%\); shop: [78]\d% of the rows are web, in the others 2\d%", second)
    alike = ClusterProfiles(Calibration({}, usual=usual, counts=counts), OF_TABLE)
    alike.add(table_rows(800, 3, factor=9.0), np.repeat([0.0, 3.0], [500, 300]))
    assert alike.lines() == ["cluster 0: 500 rows (62%)", "cluster 3: 300 rows (38%)"], "both differ from training rows"
    assert ClusterProfiles(None, OF_TABLE).lines() == [] and ClusterProfiles(None, OF_TABLE).images() == {}


def test_of_the_largest_clusters_of_images_the_first_are_shown():
    profiles = ClusterProfiles(None, {"event_shape": [1, 2, 2]})
    rows = np.arange(40 * 4, dtype=np.float32).reshape(40, 4)
    clusters = np.where(np.arange(40) % 4 == 0, 7.0, 2.0)
    for first in range(0, 40, 8):
        profiles.add(rows[first : first + 8], clusters[first : first + 8])
    found = profiles.images()
    assert list(found) == ["cluster 2", "cluster 7"] and found["cluster 2"].shape == (12, 1, 2, 2)
    np.testing.assert_array_equal(found["cluster 7"].reshape(-1, 4), rows[clusters == 7])


def test_the_usual_values_of_a_category_are_those_of_many_rows_the_most_frequent_first():
    """Sixteen quantiles give a value of 2% of the rows a place, and call it usual."""
    column = Column("code", "category", values=("a", "b", "c", "d"))
    facts = {"event_shape": [4], "levels": None, "table": {"columns": Schema((column,)).as_json()}}
    codes = np.repeat(np.eye(4, dtype=np.float32), [60, 900, 20, 20], axis=0)
    usual = marginals(torch.from_numpy(codes), [(0, 4)])
    counts = counted_columns(facts, codes, usual.numpy())
    reasons = Reasons(None, "nll", Calibration({}, usual=usual, counts=counts), facts)
    assert reasons._ranges["code"].text == "b" and not reasons._ranges["code"].holds("c")
    codes = np.repeat(np.eye(4, dtype=np.float32), [310, 290, 390, 10], axis=0)
    counts = counted_columns(facts, codes, usual.numpy())
    reasons = Reasons(None, "nll", Calibration({}, usual=usual, counts=counts), facts)
    assert reasons._ranges["code"].text == "c, a, b"
    many = Column("code", "category", values=tuple(f"c{k:02}" for k in range(40)))
    facts = {"event_shape": [40], "levels": None, "table": {"columns": Schema((many,)).as_json()}}
    codes = np.repeat(np.eye(40, dtype=np.float32), [120, *[100] * 38, 30], axis=0)
    usual = marginals(torch.from_numpy(codes), [(0, 40)])
    counts = counted_columns(facts, codes, usual.numpy())
    reasons = Reasons(None, "nll", Calibration({}, usual=usual, counts=counts), facts)
    assert reasons._ranges["code"].text == "c00, c01, c02, c03 and 35 more", "none has a sixteenth, most are usual"


def test_shares_show_what_differs_also_near_none_and_all():
    shares = (0.47, 0.016, 0.00025, 0.9998, 0.0, 1.0, 0.0994)
    assert [str(Moved("f", "are y", share, share)).rpartition(" ")[2] for share in shares] == [
        "47%", "1.6%", "0.025%", "99.980%", "0%", "100%", "9.9%",
    ]  # fmt: skip


def test_few_calibration_rows_still_show_rows_beyond_all_of_them():
    check = compare(np.full(20, 99.0), np.arange(10.0), name="may.csv", model="m", score="nll")
    assert check.unusual == 1 and check.p < 1e-4


def test_columns_of_rows_like_those_of_the_training_hardly_ever_move():
    sizes = ((400, 200), (3000, 2000))
    found = [moved_columns(table_rows(m, k), table_rows(n, 1000 + k)) for k in range(100) for m, n in sizes]
    assert sum(map(bool, found)) <= 4, "two false alarms are promised on average, at most"


def test_the_column_that_has_moved_is_named_with_its_shares_in_the_users_words():
    train = table_rows(4000, 0)
    for change, says in {
        "factor": (4.0, r"amount: \d+% of the rows are (above|at least) [\d.]+, usually \d+%"),
        "web": (
            0.5,
            r"shop: (4\d|5\d|2\d|3\d)% of the rows are (web, usually (19|20|21)|north, usually (59|60|61))%",
        ),
        "lost": (0.5, r"age: (4|5)\d% of the rows are missing, usually (9.[5-9]|10|11)%"),
        "no_income": (1.0, r"income: 100% of the rows are missing, usually (79|80|81)%"),
        "fixed": (7.0, r"fixed: 100% of the rows are above 5.0, usually 0%"),
        "yes": (0.3, r"paid: (2|3)\d% of the rows with a value are yes, usually (69|70|71)%"),
    }.items():
        rows = table_rows(1000, 1, **{change: says[0]})
        (found,) = moved_columns(train, rows[:300], rows[300:])
        assert re.fullmatch(says[1], str(found)), str(found)
    found = moved_columns(train, table_rows(1000, 1, factor=4.0, web=0.6))
    assert [one.column for one in found] == ["amount", "shop"] or [one.column for one in found] == ["shop", "amount"]
    assert moved_columns(train, table_rows(1000, 1)[:0]) == []
    (below,) = moved_columns(train, table_rows(1000, 1, fixed=3.0))
    assert str(below) == "fixed: 100% of the rows are below 5.0, usually 0%"


def test_a_tail_that_becomes_heavier_is_seen_and_named_with_the_exact_shares():
    train, new = table_rows(4000, 0), table_rows(1500, 1)
    amounts = new[:, 0]
    assert moved_columns(train, new) == []
    amounts[amounts > np.quantile(amounts, 0.92)] *= 4
    (found,) = moved_columns(train, new)
    assert re.fullmatch(r"amount: [78]\.\d% of the rows are above [\d.]+, usually 3\.\d%", str(found))


def test_a_rare_word_that_becomes_less_rare_is_seen_and_named_with_the_exact_share():
    train = table_rows(2500, 0, web=0.016)
    (found,) = moved_columns(train, table_rows(2500, 1, web=0.04))
    share = train[:, SCHEMA.names.index("shop is web")].mean()
    assert re.fullmatch(rf"shop: [345]\.\d% of the rows are web, usually {share:.1%}", str(found))


def test_a_row_has_a_score_or_a_problem():
    scores = np.array([*RNG.normal(size=60), np.nan, np.inf])
    found = compare(scores, RNG.normal(size=90), name="may.csv", model="m", score="nll")
    assert (found.rows, found.problems) == (61, 1)


def test_rows_that_cannot_be_read_make_a_file_differ():
    scores, known = RNG.normal(size=200), RNG.normal(size=200)
    assert compare(scores, known, name="may.csv", model="m", score="nll").p > 1e-3
    scores[:100] = np.nan
    found = compare(scores, known, name="may.csv", model="m", score="nll")
    assert found.p < 1e-9 and found.unusual >= 0.5
    broken = compare(np.append(scores[:99], 0.0), known[:10], name="may.csv", model="m", score="nll")
    assert broken.p < 1e-6 and broken.unusual >= 0.99, "although ten calibration rows allow no p-value of 0.05"


def test_flags_that_gaps_decide_and_a_threshold_of_few_rows_are_said(ask, bookings, tmp_path, capsys, monkeypatch):
    """Eleven rows of which six stand out by an empty cell; and a rate that 20 calibration rows can barely keep."""
    from pipelines.scoring import score_file

    gap, other = ({"column": "fee", "value": value, "adds": 3.0, "usual": "1"} for value in (None, 7.0))
    told = {k: Reason("", [gap if k < 6 else other]) for k in range(11)}
    monkeypatch.setattr(score_file, "_explained", lambda *_: told)
    ask(write_rows(tmp_path / "may.csv", 300, seed=1), "--fpr", "0.05")
    said = capsys.readouterr().err
    assert "6 of the 11 rows with a reason stand out by an empty cell first" in said
    assert "only scores above all of these" not in said
    known = len(load_calibration(bookings[1]).scores["nll"])
    ask(tmp_path / "may.csv", "--fpr", f"{1.5 / (known + 1):.6f}")
    assert (
        "only scores above all of these are flagged, and more calibration rows would find more"
        in capsys.readouterr().err
    )
