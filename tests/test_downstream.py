"""evaluate, detect and cluster on tiny trained models: what they write, from which rows, and the same again."""

import json
import shutil
import struct
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import yaml

from gen_models import checkpoint
from gen_models.build import build_model, build_optimisers
from gen_models.contracts import WarmStart
from gen_models.engine import Training, fit
from gen_models.errors import ConfigError, DataError
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines import config, figures
from pipelines.comparison import anomalies, clusters
from pipelines.data import prepare
from pipelines.data.sources import LOG_DENSITIES
from pipelines.data.store import open_data
from pipelines.evaluation import evaluate
from pipelines.evaluation.metrics import two_sample
from pipelines.evaluation.metrics.pixel_histogram import bernoulli_log_prob, histogram_log_prob
from pipelines.evaluation.trained_run import Trained, open_trained
from pipelines.runtime import paths

REPOSITORY = Path(__file__).parent.parent
RUNS = {
    "ae-digits": ("ae", "autoencoders", "digits"),
    "vae-digits_normal": ("vae", "autoencoders", "digits_normal"),
    "gmm-digits_normal": ("gmm", "mixtures", "digits_normal"),
    "sn_wgan-two_moons": ("sn_wgan", "adversarial", "two_moons"),
    "sn_wgan-digits_normal": ("sn_wgan", "adversarial", "digits_normal"),
    "bernoulli_vae-digits": ("bernoulli_vae", "autoencoders", "digits"),
    "gmm-two_moons": ("gmm", "mixtures", "two_moons"),
    "vae-two_moons": ("vae", "autoencoders", "two_moons"),
}
STEPS = 60
SCORES = {
    "vae": {"neg_elbo", "reconstruction", "blurred", "latent_mahalanobis"},
    "gmm": {"nll"},
    "sn_wgan": {"critic", "inversion"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with prepared data and a barely trained model for each run."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(REPOSITORY / "conf", root / "conf")
    (root / "gen_models").mkdir()
    moons = root / "conf" / "data" / "two_moons.yaml"
    moons.write_text(moons.read_text().replace("rows: 40000", "rows: 800"))
    write_params(root, RUNS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        for name in config.params().data:
            prepare.main([name])
        for key, run in config.params().runs.items():
            train(key, run)
    return root


def write_params(root: Path, runs: dict[str, tuple[str, str, str]]) -> None:
    lines = {key: dict(zip(("model", "family", "data"), run, strict=True)) for key, run in runs.items()}
    content = {"seed": 3, "budget": "quick", "workers": 1, "data": ["digits", "digits_normal", "two_moons"]}
    content |= {"sweeps": lines, "runs": {key: {**line, "setting": key} for key, line in lines.items()}}
    (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def train(key: str, run: config.Run) -> None:
    conf = config.compose(run.model, run.data, "quick")
    data = open_data(run.data)
    model = build_model(conf["model"], 0)
    if isinstance(model, WarmStart):
        with torch.no_grad():
            model.warm_start(data.rows("train"), Noise(0))
    training = Training(model, build_optimisers(conf["optim"], model))
    for _ in fit(training, Batches(data.x("train"), 64, 0), Noise(0), steps=STEPS, report_every=STEPS):
        pass
    folder = paths.out("train", key, "checkpoint")
    folder.parent.mkdir(parents=True)
    checkpoint.save_model(folder, conf["model"], model)


@pytest.fixture
def here(project, monkeypatch):
    """The project, with forests and starts that take no time; its params.yaml is written anew for each test."""
    monkeypatch.setenv("GEN_MODELS_ROOT", str(project))
    monkeypatch.setattr(two_sample, "FOREST", {**two_sample.FOREST, "n_estimators": 10})
    monkeypatch.setattr(annealed_likelihood, "SETTING", {"temperatures": 10, "chains": 2, "leapfrogs": 1})
    monkeypatch.setattr(plane_plots, "GRID", 20)
    monkeypatch.setattr(clusters, "SEEDS", 2)
    monkeypatch.setattr(clusters, "STARTS", 1)
    monkeypatch.setattr(anomalies, "TREES", 20)
    monkeypatch.setattr(anomalies, "SEARCH", {"starts": 2, "steps": 10})
    write_params(project, RUNS)
    return project


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def numbers_of(key: str) -> dict:
    evaluate.main([key])
    return json.loads(paths.out("evaluate", key, "metrics.json").read_text())


# evaluate

ORIGIN = {"rows", "dims", "data_sha256", "checkpoint_sha256"}
SAMPLES = {
    "mmd2", "mmd2_floor", "c2st_accuracy", "c2st_accuracy_error", "c2st_accuracy_floor",
    "sample_distance", "test_distance", "memorisation",
    *(name + end for name in ("precision", "recall", "density", "coverage") for end in ("", "_floor")),
}  # fmt: skip
IMAGES = {"frechet", "frechet_floor", "feature_accuracy"}
BITS = {"bits_per_dim", "bits_per_dim_histogram"}
AIS = {"nats_ais", "nats_ais_error", "nats_ais_elbo", "nats_ais_iw50", "ais_rows", "ais_accepted"}
LATENTS = {"latents", "active_latents", "collapsed_latents", "rate_nats"}
WALKS = {"traversal", "latent_map", "latent_kl"}
EXPECTED = {
    "ae-digits": ({"mse", "mse_pca"}, {"interpolation", "latent", "reconstructions", "traversal"}),
    "vae-digits_normal": (
        {"nats", "nats_error", "nats_iw50", "bits_per_dim_iw50", "mse", "mse_pca"}
        | AIS
        | LATENTS
        | BITS
        | SAMPLES
        | IMAGES,
        {"interpolation", "latent", "reconstructions", "samples"} | WALKS,
    ),
    "bernoulli_vae-digits": (
        {"binary_nats", "binary_nats_error", "binary_nats_iw50", "binary_nats_pixels", "mse", "mse_pca"}
        | {f"binary_{name}" if "nats" in name else name for name in AIS}
        | LATENTS
        | SAMPLES
        | IMAGES,
        {"interpolation", "latent", "reconstructions", "samples"} | WALKS,
    ),
    "sn_wgan-two_moons": (
        SAMPLES | {"critic_wasserstein", "critic_wasserstein_floor", "gradient_norm_critic", "gradient_norm_generator"},
        {"samples"},
    ),
    "gmm-two_moons": (
        {"nats", "nats_error", "truth_nats", "gap_nats"} | SAMPLES,
        {"density", "latent", "samples"},
    ),
    "vae-two_moons": (
        {"nats", "nats_error", "nats_iw50", "truth_nats", "gap_nats", "mse"} | AIS | LATENTS | SAMPLES,
        {"density", "latent", "latent_kl", "samples"},
    ),
}


@pytest.mark.parametrize("key", EXPECTED)
def test_a_run_gets_the_numbers_and_pictures_of_its_capabilities_twice_the_same(here, key):
    names, pictures = EXPECTED[key]
    numbers = numbers_of(key)
    assert set(numbers) - ORIGIN - {"mse_pca"} == names - {"mse_pca"}
    assert all(np.isfinite(numbers[name]) for name in set(numbers) - {"data_sha256", "checkpoint_sha256"})
    written = files(paths.out("evaluate", key))
    told = {"latents.json"} if "vae" in key else set()
    assert set(written) == {"metrics.json"} | told | {f"{name}.png" for name in pictures}
    torch.manual_seed(1)  # global generators have no say
    np.random.seed(1)
    evaluate.main([key])
    assert files(paths.out("evaluate", key)) == written


def test_numbers_agree_with_one_another_and_with_their_definitions(here):
    numbers = numbers_of("vae-two_moons")
    x = open_data("two_moons").x("test")
    assert numbers["truth_nats"] == pytest.approx(-np.mean(LOG_DENSITIES["two_moons"](x)), abs=1e-6)
    assert numbers["gap_nats"] == pytest.approx(numbers["nats"] - numbers["truth_nats"])
    assert numbers["nats_iw50"] <= numbers["nats"]
    assert numbers["memorisation"] == pytest.approx(numbers["sample_distance"] / numbers["test_distance"])
    assert (numbers["rows"], numbers["dims"]) == (len(x), 2)
    assert numbers["data_sha256"] == open_data("two_moons").sha256


def test_bits_are_nats_over_dimensions_and_the_held_out_class_does_not_count(here):
    numbers = numbers_of("vae-digits_normal")
    assert numbers["bits_per_dim"] == pytest.approx(numbers["nats"] / (64 * np.log(2)))
    y = open_data("digits_normal").y("test")
    assert numbers["rows"] == np.sum(y != 8) < len(y)


def test_the_histogram_of_pixels_is_a_model_by_itself(here):
    trained = open_trained(config.params().run("ae-digits"))
    train, test = (np.asarray(trained.data.x(split)).reshape(-1, 64) for split in ("train", "test"))
    expected = 0.0
    for pixel in range(64):
        p = (np.bincount(train[:, pixel], minlength=17) + 1) / (len(train) + 17)
        expected += np.log(p[test[:, pixel]]).mean()
    assert histogram_log_prob(trained) == pytest.approx(expected)


def test_independent_binary_pixels_are_a_model_by_itself(here):
    trained = open_trained(config.params().run("bernoulli_vae-digits"))
    train, test = (np.asarray(trained.data.x(split), dtype=float).reshape(-1, 64) / 16 for split in ("train", "test"))
    p = (train.sum(axis=0) + 0.5) / (len(train) + 1)
    draws = np.random.default_rng(0).random((400, *test.shape)) < test  # y, and log p of it
    log_p = np.where(draws, np.log(p), np.log1p(-p)).sum(axis=2).mean(axis=1)
    error = 5 * log_p.std() / np.sqrt(len(log_p))
    assert bernoulli_log_prob(trained) == pytest.approx(log_p.mean(), abs=error)


def test_a_classifier_tells_apart_what_differs_and_guesses_where_nothing_does():
    like = torch.zeros((), dtype=torch.float64)
    a, b = (Noise(0).normal(stream, (300, 2), like) for stream in ("a", "b"))
    assert abs(two_sample.two_sample_accuracy(a, b, 0) - 0.5) < 0.08
    assert two_sample.two_sample_accuracy(a, b + 8, 0) > 0.99


class Parrot(torch.nn.Module):
    """A sampler that repeats its training rows."""

    def __init__(self, rows: torch.Tensor):
        super().__init__()
        self.rows = rows

    def sample(self, n, noise):
        return self.rows[noise.permutation("parrot", len(self.rows))[:n]]


def test_a_sampler_that_repeats_its_training_rows_is_found_out(here):
    run, data = config.params().run("sn_wgan-two_moons"), open_data("two_moons")
    numbers = two_sample.samples(Trained(run, Parrot(data.rows("train")), data), Noise(0))
    assert numbers["memorisation"] == 0.0
    assert abs(numbers["c2st_accuracy"] - 0.5) < 0.1  # which the two-sample test cannot see


def test_the_samples_that_a_training_kept_become_an_animation(here):
    folder = paths.out("train", "sn_wgan-two_moons", "samples")
    folder.mkdir()
    for step in (0, 30, 60):
        np.save(folder / f"step_{step:08d}.npy", np.full((64, 2), step / 60, dtype=np.float32))
    evaluate.main(["sn_wgan-two_moons"])
    shutil.rmtree(folder)
    assert paths.out("evaluate", "sn_wgan-two_moons", "training.gif").read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize("stage", [evaluate, anomalies, clusters])
def test_wrong_arguments_are_one_line(here, stage):
    with pytest.raises((ConfigError, SystemExit)) as caught:
        stage.main(["no-such-run"])
    assert "\n" not in str(caught.value)
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([])


# detect


def test_every_score_of_every_run_with_a_held_out_class_and_each_baseline_once(here):
    anomalies.main([])
    rows = json.loads(paths.out("detect", "scores.json").read_text())
    found = {}
    for row in rows:
        found.setdefault(row["run"], set()).add(row["score"])
        assert row["data"] == "digits_normal"
        assert 0 <= row["low"] <= row["auroc"] <= row["high"] <= 1
        assert row["fpr_target"] == 0.05
        assert 0 <= row["tpr"] <= 1
    assert found.pop("vae-digits_normal") == SCORES["vae"]
    assert found.pop("gmm-digits_normal") == SCORES["gmm"]
    assert found.pop("sn_wgan-digits_normal") == SCORES["sn_wgan"]
    assert found == {
        "pca": {"reconstruction_16"},
        "nearest_neighbours": {"mean_distance_5"},
        "isolation_forest": {"isolation"},
    }
    assert len(rows) == sum(map(len, SCORES.values())) + 3
    # the level holds on average over calibration splits; one split of n rows spreads as a beta distribution
    normal, calibration = (int(np.sum(open_data("digits_normal").y(split) != 8)) for split in ("test", "calibration"))
    slack = 4 * np.sqrt(0.05 * 0.95 * (1 / normal + 1 / calibration))
    assert all(row["fpr"] <= 0.05 + slack for row in rows)
    written = files(paths.out("detect"))
    assert set(written) == {"scores.json", "roc.png", "extremes-digits_normal.png"}
    anomalies.main([])
    assert files(paths.out("detect")) == written


def test_a_search_that_would_take_long_is_left_out_in_a_line(here, monkeypatch, capsys):
    trained = open_trained(config.params().run("sn_wgan-digits_normal"))
    (row, _), *others = anomalies.searched(trained, 3)
    assert (row["score"], others) == ("inversion", [])
    assert "rows among its samples, 2 starts of 10 steps each: " in capsys.readouterr().out
    monkeypatch.setattr(anomalies, "MOST_NUMBERS", 1000)
    assert anomalies.searched(trained, 3) == []
    assert "sn_wgan-digits_normal: no score by inversion: " in capsys.readouterr().out
    assert anomalies.searched(open_trained(config.params().run("gmm-digits_normal")), 3) == []


def test_runs_that_were_taken_out_are_not_read(here):
    write_params(here, {"gmm-digits_normal": RUNS["gmm-digits_normal"]})
    anomalies.main([])
    rows = json.loads(paths.out("detect", "scores.json").read_text())
    assert {row["run"] for row in rows} == {"gmm-digits_normal", "pca", "nearest_neighbours", "isolation_forest"}
    write_params(here, {"ae-digits": RUNS["ae-digits"]})
    anomalies.main([])
    assert json.loads(paths.out("detect", "scores.json").read_text()) == []
    clusters.main([])
    rows = json.loads(paths.out("cluster", "scores.json").read_text())
    assert [(row["run"], row["space"]) for row in rows] == [
        ("ae-digits", "latent"),
        ("ae-digits", "whitened"),
        ("k-means", "data"),
    ]


def test_a_held_out_class_without_calibration_rows_says_what_to_write(here):
    trained = open_trained(config.params().run("gmm-digits_normal"))
    without = {split: rows for split, rows in trained.data.arrays.items() if split != "calibration"}
    data = type(trained.data)(trained.data.name, trained.data.manifest, without)
    with pytest.raises(DataError, match=r"'8' and has no calibration split; add calibration: 0.2"):
        anomalies.detect(Trained(trained.run, trained.model, data), 0, with_baselines=False)


# cluster


def test_every_encoder_is_clustered_beside_its_data_twice_the_same(here, capsys):
    clusters.main([])
    said = capsys.readouterr().out
    assert "sn_wgan-two_moons: no latents to cluster: sn_wgan has no encoder\n" in said
    rows = json.loads(paths.out("cluster", "scores.json").read_text())
    encoders = [key for key, (model, _, _) in RUNS.items() if model != "sn_wgan"]
    assert [row["run"] for row in rows if row["space"] == "latent"] == encoders
    assert sorted(row["data"] for row in rows if row["space"] == "data") == ["digits", "digits_normal", "two_moons"]
    for row in rows:
        assert row["k"] == {"digits": 10, "digits_normal": 9, "two_moons": 2}[row["data"]]
        assert 1 / row["k"] < row["acc_mean"] <= 1
        assert row["nmi_sd"] >= 0
    raw = next(row for row in rows if row["space"] == "data" and row["data"] == "digits")
    assert raw["acc_mean"] > 0.55  # k-means on the pixels of digits is known to reach about 0.7
    written = files(paths.out("cluster"))
    assert {"clusters-ae-digits.png", "clusters-ae-digits-whitened.png"} <= set(written)
    assert [row["run"] for row in rows if row["space"] == "whitened"] == ["ae-digits"], (
        "its latents alone have no prior"
    )
    clusters.main([])
    assert files(paths.out("cluster")) == written


def test_whitened_vectors_are_the_same_in_every_basis_of_the_latents():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(500, 4)), rng.normal(size=(50, 4))
    here, there = clusters.whitened(train, test)
    np.testing.assert_allclose(np.cov(here.T), np.eye(4), atol=1e-12)
    basis, shift = rng.normal(size=(4, 4)), rng.normal(size=4)
    for found, other in zip((here, there), clusters.whitened(train @ basis + shift, test @ basis + shift), strict=True):
        np.testing.assert_allclose(distances(other), distances(found), atol=1e-9)


def test_a_direction_without_variance_is_left_out_of_whitened_vectors():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 5))
    here, _ = clusters.whitened(train, train)
    assert here.shape == (500, 3)
    assert clusters.whitened(train[:, :1], train[:, :1])[0].std(ddof=1) == pytest.approx(1)


def distances(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows[:, None] - rows, axis=2)


# figures


def chunks(png: bytes) -> list[bytes]:
    """The kinds of a PNG's chunks."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    kinds, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kinds.append(png[at + 4 : at + 8])
        at += 12 + length
    return kinds


def test_pictures_hold_pixels_and_no_date_version_or_text(here):
    numbers_of("vae-digits_normal")
    anomalies.main([])
    pictures = [*paths.out("evaluate", "vae-digits_normal").glob("*.png"), *paths.out("detect").glob("*.png")]
    assert len(pictures) == 9
    for path in pictures:
        assert set(chunks(path.read_bytes())) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND", b"sBIT"}, path


def test_grey_levels_have_one_scale_for_all_images_of_a_picture():
    images = np.stack([np.full((1, 8, 8), level) for level in (0, 4, 16)])
    grid = figures.mosaic(images, levels=17, columns=3)
    zoom = grid.shape[0] // 10
    centres = [grid[5 * zoom, (5 + 9 * k) * zoom, 0] for k in range(3)]
    assert centres == [0, 64, 255]


def test_the_table_of_trials_is_drawn_without_those_that_diverged():
    rows = [
        {
            "trial": k,
            "override": {"model.beta": beta, "model.kind": "a"},
            "value": value,
            "metrics": {"rate": k, "mse": -k},
        }
        for k, (beta, value) in enumerate([(0.5, 3.0), (4.0, None), (1.0, 2.0)])
    ]
    whole, part = BytesIO(), BytesIO()
    before = dict(matplotlib.rcParams)
    figures.trials(rows, "nats", 2, whole, front={"rate": "rate", "distortion": "mse"})
    figures.trials(rows[:1] + rows[2:], "nats", 2, part, front={"rate": "rate", "distortion": "mse"})
    assert chunks(whole.getvalue())[-1] == chunks(part.getvalue())[-1] == b"IEND"
    figures.trials([{**rows[0], "override": {}}], "nats", 0, BytesIO())
    figures.curves({"likelihood.nats": ([1, 2, 3], [3.0, 2.0, 1.5])}, BytesIO(), title="history")
    assert dict(matplotlib.rcParams) == before  # no global style is left behind
