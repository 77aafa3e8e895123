"""The rows of benchmarks/settings say what can be trained, and hash what is there."""

import json

import numpy as np
import pytest
import torch

from benchmarks import (
    fits,
    flows,
    games,
    kept,
    latent,
    modes,
    plan,
    reconstructions,
    restamp,
    rows,
    training,
    transport,
)
from benchmarks.breaks import BREAKS
from benchmarks.inputs import Inputs
from gen_models.noise import Noise
from pipelines.config.compose import compose, override
from pipelines.data.source_table import SOURCES
from pipelines.data.sources.gaussians import MIXTURES
from pipelines.runtime import paths
from pipelines.training.initial_model import build_training
from tests.project import HERE

ROWS = flows.table()
PLANNED = [
    (family, name, row)
    for family in (games, latent)
    for name, row in plan.table(family.__name__.rpartition(".")[2]).items()
]
each_row = pytest.mark.parametrize("name", ROWS)


@each_row
def test_a_row_can_be_built_on_each_of_its_data(name):
    row = ROWS[name]
    for data in row.data:
        conf = override(compose(row.model, data, "quick"), row.settings)
        assert build_training(conf, seed=0).step == 0
    assert row.measure in flows.MEASURES
    assert row.steps >= 1


@pytest.mark.parametrize(("family", "name", "row"), PLANNED, ids=[name for _, name, _ in PLANNED])
def test_a_planned_row_can_be_built_from_inputs_that_exist(family, name, row):
    variants = [*row.options.get("variants", {"": {"model": row.model}}).values()]
    if rival := row.options.get("rival"):
        changes = {"model.scales": row.options["scales"]}
        variants += [{"model": rival, "settings": {**changes, "model.codes": size}} for size in row.options["rivals"]]
    for said in variants if row.settings else ():
        settings = {**row.settings, **said.get("settings", {})}
        conf = override(compose(said["model"], row.data, "quick"), settings)
        assert build_training(conf, seed=0).step == 0
    assert row.measure in family.MEASURES


def test_a_row_adds_to_what_its_file_says(tmp_path, monkeypatch):
    folder = tmp_path / "benchmarks" / "settings" / "family"
    folder.mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("")
    shared = "measure: m\ndata: d\nmodel: x\nsteps: 3\ntarget: 1\nsettings: {a: 1, b: 2}\n"
    (folder / "rows.yaml").write_text(shared + "rows: {one: {}, two: {steps: 4, settings: {b: 5}}}\n")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    rows_ = plan.table("family")
    assert (rows_["one"].steps, rows_["one"].settings) == (3, {"a": 1, "b": 2})
    assert (rows_["two"].steps, rows_["two"].settings) == (4, {"a": 1, "b": 5})
    assert rows_["two"].file == "benchmarks/settings/family/rows.yaml"


def test_every_result_file_holds_a_whole_row():
    fields = ("name", "model", "data", "figure", "unit", "better", "target", "met", "baselines", "seeds", "spread")
    fields += ("budget", "seconds", "device", "versions", "commit", "command", "inputs", "inputs_of")
    for path in (paths.root() / "benchmarks" / "results").glob("*.json"):
        row = json.loads(path.read_text())
        assert row["name"] == path.stem
        assert tuple(row) == fields
        sign = 1 if row["better"] == "lower" else -1
        assert row["met"] == (sign * row["figure"] <= sign * row["target"])


def test_every_result_file_is_of_a_row_whose_inputs_are_there():
    known = restamp.inputs_by_row()
    for path in (paths.root() / "benchmarks" / "results").glob("*.json"):
        assert json.loads(path.read_text())["inputs_of"] == known[path.stem].as_json()
        assert known[path.stem].sha256()


def test_a_change_of_a_rows_inputs_makes_it_stale_and_a_comment_does_not(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("")
    (tmp_path / "code.py").write_text("x = 1")
    (tmp_path / "conf.yaml").write_text("x: 1")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    facts = {"model": "m", "data": "d", "figure": 1.0, "unit": "u", "target": 2.0, "baselines": {}, "seeds": [0]}
    rows.write(
        "row", **facts, spread=None, budget="b", seconds=1.0, inputs=Inputs(files=("code.py", "conf.yaml")), command="c"
    )
    assert rows.stale() == []
    (tmp_path / "code.py").write_text("x = 1  # one\n")
    (tmp_path / "conf.yaml").write_text("# one\nx: 1")
    assert rows.stale() == []
    (tmp_path / "conf.yaml").write_text("x: 2")
    assert rows.stale() == ["row"]
    (tmp_path / "code.py").rename(tmp_path / "moved.py")
    assert rows.stale() == ["row"]


def test_the_ratio_of_paired_means_has_the_spread_of_many_draws():
    draw = torch.Generator().manual_seed(0)
    ratios, errors = [], []
    for _ in range(300):
        rivals = 1 + torch.rand(200, generator=draw, dtype=torch.float64)
        mine = 0.5 * rivals + 0.1 * torch.randn(200, generator=draw, dtype=torch.float64)
        ratio, error = reconstructions.ratio_of_means(mine, rivals)
        ratios.append(ratio)
        errors.append(error)
    assert np.mean(ratios) == pytest.approx(0.5, abs=0.002)
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.1)


@pytest.mark.parametrize("shift", [[3.0], [3.0, -4.0]])
def test_the_exact_distance_of_a_shift_is_its_length(shift):
    x = torch.randn(50, len(shift), generator=torch.Generator().manual_seed(0))
    y = x[torch.randperm(50, generator=torch.Generator().manual_seed(1))] + torch.tensor(shift)
    assert transport.exact_distance(x, y) == pytest.approx(np.hypot.reduce(shift), rel=1e-5)


def test_the_divergence_of_a_fit_by_quadrature_is_that_of_draws():
    """KL(p||q) = E_p log p/q."""
    q, mixture = fits.Gaussian(0.3, 2.0), MIXTURES["bimodal"]
    x = SOURCES["bimodal"](Noise(0), rows=200_000).x.astype(np.float64)
    log_q = -0.5 * np.square((x[:, 0] - q.mu) / q.sigma) - np.log(q.sigma * np.sqrt(2 * np.pi))
    ratios = mixture.log_density(x) - log_q
    assert fits.divergence_from("bimodal", "kl")(q) == pytest.approx(ratios.mean(), abs=5 * ratios.std() / 200_000**0.5)


def test_a_seed_of_poor_samples_counts_as_no_modes():
    assert modes.Reached(8, 0.89, 1.0, 1).counted() == 0
    assert modes.Reached(8, 0.90, 1.0, 1).counted() == 8


def test_a_training_that_is_kept_is_opened_and_one_that_differs_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    for name in ("conf", "benchmarks", "gen_models", "pipelines"):
        (tmp_path / name).symlink_to(HERE / name)
    (tmp_path / "params.yaml").write_text("")
    row = plan.Row("m", "gmm", "iris", 5, 1.0, {"model.components": 2}, "rows.yaml")
    dataset = training.data("iris")
    first, again = kept.play(row, dataset), kept.play(row, dataset)
    assert len(list((tmp_path / "work" / "figures" / "kept").iterdir())) == 1
    assert (again.seconds, again.batch_size) == (first.seconds, first.batch_size)
    for a, b in zip(first.trained.model.parameters(), again.trained.model.parameters(), strict=True):
        assert torch.equal(a, b)
    kept.play(row, dataset, seed=1)
    assert len(list((tmp_path / "work" / "figures" / "kept").iterdir())) == 2


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.name)
def test_a_break_can_be_made_and_has_tests_that_may_notice_it(one):
    assert one.right in (HERE / one.file).read_text()
    assert one.tests and all((HERE / "tests" / f"{name}.py").is_file() for name in one.tests)
