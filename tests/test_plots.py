"""The pictures of a model: the laws of what they show, and which model gets which."""

import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gen_models import checkpoint
from gen_models.build import build_model
from gen_models.noise import Noise
from pipelines import figures
from pipelines.config.compose import compose, override
from pipelines.config.params import params
from pipelines.data import prepare
from pipelines.data.store import open_data
from pipelines.evaluation.plots import all_plots, image_plots, line_plots
from pipelines.evaluation.trained_run import Trained
from pipelines.figures.scores import _histogram
from pipelines.figures.trial_samples import _in_a_plane
from pipelines.report.gallery import KINDS
from pipelines.runtime import paths
from pipelines.training.task import task_of
from pipelines.training.trainer import train
from tests.models import ROWS, data_of, ready, rows_offering
from tests.project import params_of, write_params

REPOSITORY = Path(__file__).parent.parent
NOISE = Noise(seed=3)
FLOWS = {"image": "realnvp-digits", "line": "scalar_flow-bimodal", "plane": "realnvp-two_moons"}
RUNS = {  # key: the pictures of its model
    "ae-digits": {"reconstructions", "interpolation", "traversal", "latent"},
    "gmm-bimodal": {"samples", "latent"},
    "realnvp-checkerboard": {"samples", "density", "latent_flow"},
    "realnvp-digits": {"samples", "temperatures", "interpolation", "latent"},
    "realnvp-two_moons": {"samples", "density", "latent_flow", "latent"},
    "scalar_flow-bimodal": {"samples", "flow"},
    "sn_wgan-digits": {"samples"},
    "vae-bimodal": {"samples", "latent_kl", "latent"},
    "vae-digits": {*("samples", "reconstructions", "interpolation", "traversal", "latent_map", "latent_kl", "latent")},
    "vq_vae-digits": {"samples", "reconstructions", "interpolation", "latent"},
}
DRAWN_TWICE = ("realnvp-two_moons", "realnvp-digits", "scalar_flow-bimodal")  # test_evaluation.py has the other kinds
DATA = ("digits", "bimodal", "two_moons", "checkerboard")
SMALL = {"scalar_flow": {"components": 4}, "realnvp": {"couplings": 2, "hidden": [8]}}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with prepared data of few rows."""
    root = tmp_path_factory.mktemp("plots")
    shutil.copytree(REPOSITORY / "conf", root / "conf")
    (root / "gen_models").mkdir()
    for name in DATA:
        conf = root / "conf" / "data" / f"{name}.yaml"
        conf.write_text(conf.read_text().replace("rows: 40000", "rows: 800"))
    write_params(root, params_of({key: tuple(key.split("-")) for key in RUNS}, seed=3, budget="quick", data=list(DATA)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        for name in DATA:
            prepare.main([name])
    return root


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(project))
    return project


def conf_of(key: str) -> dict:
    run = params().run(key)
    small = {f"model.{name}": value for name, value in SMALL.get(run.model, {}).items()}
    return override(compose(run.model, run.data, "quick"), small)


def untrained(key: str) -> Trained:
    """A run's model before any training, with its checkpoint where `train` leaves one."""
    run, spec = params().run(key), conf_of(key)["model"]
    data, model = open_data(run.data), build_model(spec, 3).eval()
    with torch.no_grad():
        model.warm_start(data.rows("train"), NOISE)
    checkpoint.save_model(paths.out("train", key, "checkpoint"), spec, model)
    return Trained(run, model, data, paths.out("train", run.key))


@pytest.mark.parametrize("key", RUNS)
def test_a_model_has_the_pictures_of_its_capabilities_and_its_data(here, key, tmp_path):
    trained = untrained(key)
    written = []
    for name in ("first", "second") if key in DRAWN_TWICE else ("first",):
        (tmp_path / name).mkdir()
        with torch.no_grad():
            all_plots.pictures(trained, NOISE, tmp_path / name)
        written.append({path.stem: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert set(written[0]) == RUNS[key]
    assert all(again == written[0] for again in written)
    assert all(picture.startswith(b"\x89PNG") for picture in written[0].values())


def test_every_kind_of_picture_has_its_heading_in_the_report_and_a_line_in_the_docs():
    of_plots = [kind for kind in KINDS if kind != "scores"]  # which measure.py draws with the scores
    assert set.union(*RUNS.values()) == set(of_plots)
    named = [line.split()[0] for line in all_plots.__doc__.splitlines() if line.startswith("    ")]
    assert named == of_plots


# Images


def test_the_temperature_of_one_shows_the_draws_of_the_model_itself(here, monkeypatch):
    trained, shown = untrained("realnvp-digits"), {}
    monkeypatch.setattr(figures, "sheet", lambda rows, *_, **__: shown.update(rows))
    with torch.no_grad():
        image_plots.temperatures(trained, NOISE, Path("temperatures.png"))
        np.testing.assert_array_equal(shown["T = 1"], trained.model.sample(image_plots.DRAWS, NOISE).numpy())
    assert list(shown) == ["T = 0.5", "T = 0.7", "T = 0.85", "T = 1"]


@pytest.mark.parametrize("row", rows_offering("decoder"), ids=str)
def test_a_way_through_latent_space_ends_where_the_model_takes_its_ends(row):
    model, x = ready(row), data_of(row)
    a, b = x[:3], x[3:6]
    with torch.no_grad():
        way = image_plots.between(model, a, b, 5)
        assert way.shape == (3, 5, *x.shape[1:])
        assert way.isfinite().all()
        for end, rows in ((0, a), (-1, b)):
            torch.testing.assert_close(way[:, end], model.decode(model.encode(rows)), rtol=1e-9, atol=1e-9)
            if "reconstructor" not in row.offers:
                torch.testing.assert_close(way[:, end], rows, rtol=1e-6, atol=1e-6)


def test_an_arc_keeps_the_norm_and_turns_evenly():
    a, b = (NOISE.normal(name, (20, 6), torch.zeros((), dtype=torch.float64)) for name in "ab")
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    angle = (a * b).sum(dim=1).acos()
    for t in (0.0, 0.3, 0.5, 1.0):
        z = image_plots.arc(a, b, t)
        torch.testing.assert_close(z.norm(dim=1), torch.ones(20, dtype=torch.float64))
        torch.testing.assert_close((a * z).sum(dim=1).clamp(-1, 1).acos(), t * angle, rtol=1e-6, atol=1e-6)
    assert torch.equal(image_plots.arc(3 * a, 2 * b, 0.0), 3 * a) and torch.equal(
        image_plots.arc(3 * a, 2 * b, 1.0), 2 * b
    )


def test_an_arc_of_parallel_latents_is_the_line():
    a = NOISE.normal("a", (20, 6), torch.zeros(()))
    for other in (a, 2 * a, -a):
        torch.testing.assert_close(
            image_plots.arc(a, other, 0.3), image_plots.line(a, other, 0.3), rtol=1e-5, atol=1e-5
        )
    assert image_plots.arc(a, 0 * a, 0.3).isfinite().all()


def test_the_way_is_an_arc_only_where_latents_are_drawn_around_the_origin():
    x = {row.name: data_of(row) for row in ROWS}
    expected = {"ae digits": image_plots.line, "vae digits": image_plots.arc, "realnvp digits": image_plots.arc}
    expected |= {"scalar_flow uniform": image_plots.line}
    for row in ROWS:
        if row.name not in expected:
            continue
        model = ready(row)
        ends = model.encode(x[row.name][:2]).chunk(2)
        with torch.no_grad():
            half = image_plots.between(model, x[row.name][:1], x[row.name][1:2], 3)[:, 1]
            torch.testing.assert_close(half, model.decode(expected[row.name](*ends, 0.5)), rtol=1e-9, atol=1e-9)


# The line


def test_before_training_is_the_model_that_its_training_began_with(here, tmp_path):
    """Its draws are, bit for bit, those that the training itself kept of step 0."""
    key = "scalar_flow-bimodal"
    task = task_of(
        conf_of(key), paths.out("data", "bimodal"), seed=3, steps=20, folder=tmp_path / "run", is_trial=False
    )
    list(train(task))
    folder = paths.out("train", key, "checkpoint")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(tmp_path / "run" / "checkpoint", folder)
    run = params().run(key)
    trained = Trained(run, checkpoint.load_model(folder), open_data(run.data), folder.parent)
    model = line_plots.untrained(trained, 3).eval()
    with torch.no_grad():
        began = np.load(tmp_path / "run" / "samples" / "step_00000000.npy")
        np.testing.assert_array_equal(model.sample(len(began), Noise(3)).numpy(), began)
        assert not np.array_equal(trained.model.sample(len(began), Noise(3)).numpy(), began)


@pytest.mark.parametrize("name", ["scalar_flow normal", "scalar_flow uniform", "scalar_flow beta", "universal_flow"])
def test_densities_of_x_and_z_belong_together(name):
    """p(x) integrates to one; p(z), found through the slope of the map, is that of the base; z rises with x."""
    row = next(row for row in ROWS if row.name == name)
    model, x = ready(row), data_of(row)
    grid = torch.linspace(float(x.min()) - 60, float(x.max()) + 60, 40_001, dtype=torch.float64)[:, None]
    found = line_plots.seen(model, grid, x)
    assert np.trapezoid(found.density, found.x) == pytest.approx(1, abs=2e-3)
    inside = np.isfinite(found.z_density) & (found.density > 1e-6)
    z = torch.from_numpy(found.z)[inside, None]
    np.testing.assert_allclose(found.z_density[inside], model.base.log_density(z).exp(), rtol=1e-6, atol=1e-9)
    assert (np.diff(found.z) >= 0).all()
    np.testing.assert_allclose(found.latents, model.encode(x)[:, 0].detach())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_bijection_has_a_density_and_as_many_latents_as_numbers(here):
    for key in RUNS:
        with torch.no_grad():
            found = all_plots.is_bijection(untrained(key))
        assert found == (key in ("realnvp-checkerboard", "realnvp-two_moons", "scalar_flow-bimodal")), key
    assert math.prod(open_data("digits").event_shape) == 64  # of data on levels no row is a point of the density


def test_one_sample_that_is_not_finite_hides_no_other():
    rows = np.random.default_rng(0).normal(size=(40, 5)) * (1, 100, 1, 1, 1)
    broken = rows.copy()
    broken[3, 1] = np.inf
    first, second = _in_a_plane([rows, broken])
    assert np.isnan(second[3]).all() and np.isfinite(np.delete(second, 3, axis=0)).all()
    assert np.isfinite(first).all() and (first.std(axis=0) > 0.5).all(), "two directions, whatever the columns' units"


def test_the_bins_of_a_histogram_reach_the_edge_and_what_lies_outside_is_counted(tmp_path):
    known = np.linspace(0, 1, 99)
    scores = np.concatenate([known, [-100.0, 100.0, np.inf, np.nan]])
    axes = Figure().add_subplot()
    first, last = _histogram(axes, scores, known, 60, 4.0, "rows", reach=9.0)
    assert -100 < first < 0 and 9.0 < last < 100
    figures.score_histogram(scores, known, 9.0, tmp_path / "a.png", title="scores")
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.parametrize("keys", [1, 2, 3])
def test_the_title_of_a_sweeps_picture_fits(monkeypatch, keys):
    drawn = []
    monkeypatch.setattr(sys.modules["pipelines.figures.charts"], "save", lambda figure, to: drawn.append(figure))
    override = {f"model.key{k}": 1.0 for k in range(keys)}
    rows = [{"trial": k, "override": override, "value": 1.0, "metrics": {}, "steps": 50 * k} for k in (1, 2)]
    figures.trials(rows, "distortion_at_rate", 1, Path("none.png"))
    title = drawn[0].get_suptitle()
    assert title.replace("\n", " ").endswith("hollow: stopped before step 100, so not to be compared with the others")
    FigureCanvasAgg(drawn[0]).draw()
    box = drawn[0]._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= drawn[0].bbox.width


def test_ticks_of_counts_are_whole_numbers(monkeypatch):
    drawn = []
    monkeypatch.setattr(sys.modules["pipelines.figures.columns"], "save", lambda figure, to: drawn.append(figure))
    charts = {"number": np.array([0.1, 0.1, 0.2, 0.7]), "whole": np.array([1.0, 1.0, 2.0]), "word": {"a": 1, "b": 2}}
    figures.columns(charts, Path("none.png"), used=set(), missing={})
    number, whole, word = drawn[0].axes
    for axis in (number.yaxis, whole.xaxis, whole.yaxis, word.xaxis):
        assert all(tick == round(tick) for tick in axis.get_ticklocs()), axis
