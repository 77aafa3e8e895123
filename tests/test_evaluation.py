"""evaluate on tiny trained models: what it writes, from which rows, and the same again."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gen_models.anomalies.calibration import load_calibration
from gen_models.errors import ConfigError, DataError
from gen_models.noise import Noise
from pipelines.config.params import params
from pipelines.data.densities import LOG_DENSITIES
from pipelines.data.store import Dataset, open_data
from pipelines.evaluation import anomaly_assessment, evaluate, latent_clusters, trained_run
from pipelines.evaluation.metrics import two_sample
from pipelines.evaluation.metrics.meanings import _error_without, below_baselines, rests_on_one_row, unlike_the_data
from pipelines.evaluation.metrics.pixel_histogram import bernoulli_log_prob, histogram_log_prob
from pipelines.evaluation.result_files import read_part, read_scores
from pipelines.evaluation.row_scores import score_rows
from pipelines.evaluation.score_sheet import captions, strips
from pipelines.evaluation.trained_run import Trained, open_trained
from pipelines.runtime import paths
from tests.drawing import drawn_from
from tests.trained import DATA, RUNS, be_quick, files, list_runs


@pytest.fixture(scope="module")
def project(evaluated, tmp_path_factory):
    return shutil.copytree(evaluated.root, tmp_path_factory.mktemp("evaluation") / "project")


@pytest.fixture
def here(project, monkeypatch):
    """The project, quickly evaluated; its params.yaml is written anew for each test."""
    monkeypatch.setenv("GEN_MODELS_ROOT", str(project))
    be_quick(monkeypatch)
    list_runs(project, RUNS, DATA)
    return project


def numbers_of(key: str) -> dict:
    return json.loads(paths.out("evaluate", key, "metrics.json").read_text())


ORIGIN = {"rows", "dims", "data_sha256", "checkpoint_sha256", "criterion"}
SAMPLES = {
    "mmd2", "mmd2_floor", "c2st_accuracy", "c2st_accuracy_error", "c2st_accuracy_floor",
    "sample_distance", "test_distance", "memorisation",
    *(name + end for name in ("precision", "recall", "density", "coverage") for end in ("", "_floor")),
}  # fmt: skip
IMAGES = {"frechet", "frechet_floor", "feature_accuracy"}
NATS = {"nats", "nats_error", "nats_without_worst"}
BITS = {"bits_per_dim", "bits_per_dim_histogram", "nats_histogram"}
AIS = {"nats_ais", "nats_ais_error", "nats_ais_elbo", "nats_ais_iw50", "nats_prior", "ais_rows", "ais_accepted"}
AIS |= {"amortisation_gap", "approximation_gap"}
LATENTS = {"latents", "active_latents", "collapsed_latents", "rate_nats"}
WALKS = {"traversal", "latent_map", "latent_kl"}
EXPECTED = {
    "ae-digits": ({"mse", "mse_error", "mse_pca"}, {"interpolation", "latent", "reconstructions", "traversal"}),
    "vae-digits_normal": (
        NATS
        | {"nats_iw50", "nats_iw50_error", "bits_per_dim_iw50", "mse", "mse_error", "mse_pca"}
        | AIS
        | LATENTS
        | BITS
        | SAMPLES
        | IMAGES,
        {"interpolation", "latent", "reconstructions", "samples"} | WALKS,
    ),
    "bernoulli_vae-digits": (
        {"binary_nats_iw50", "binary_nats_iw50_error", "binary_nats_pixels", "mse", "mse_error", "mse_pca"}
        | {f"binary_{name}" for name in NATS}
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
        NATS | {"nats_histogram", "truth_nats", "gap_nats"} | SAMPLES,
        {"density", "latent", "samples"},
    ),
    "vae-two_moons": (
        NATS
        | {"nats_histogram", "nats_iw50", "nats_iw50_error", "truth_nats", "gap_nats", "mse", "mse_error"}
        | AIS
        | LATENTS
        | SAMPLES,
        {"density", "latent", "latent_kl", "samples"},
    ),
}


AGAIN = ("ae-digits", "vae-digits_normal", "sn_wgan-two_moons", "gmm-two_moons")  # have all capabilities among them

PARTS = {f"{name}.json" for name in ("anomalies", "clusters", "denoising", "compression", "metrics", "lineage")}
PARTS |= {"messages.txt", "scores.json", "scores.png", "anomaly_scores.npz", "calibration.safetensors"}
PARTS |= {"anomalous_rows.csv"}
BESIDE = {  # what else is written: of images, sheets of the clusters
    "ae-digits": {"sheets/clusters-ae-digits.png", "sheets/clusters-ae-digits-whitened.png"},
    "vae-digits_normal": {"latents.json", "sheets/clusters-vae-digits_normal.png"},
    "bernoulli_vae-digits": {"latents.json", "sheets/clusters-bernoulli_vae-digits.png"},
    "vae-two_moons": {"latents.json"},
}


def test_a_sheet_has_the_ends_of_the_ranking_and_what_lies_next_to_the_threshold():
    scores = np.random.default_rng(0).permutation(40).astype(float)
    chosen = strips(scores, 19.7)
    assert scores[chosen["most anomalous"]].tolist() == list(range(39, 27, -1))
    assert scores[chosen["borderline"]].tolist() == list(range(25, 13, -1)), "from the largest on"
    assert scores[chosen["most normal"]].tolist() == list(range(12))
    assert scores[strips(scores, 27.2)["borderline"]].tolist() == list(range(27, 15, -1)), "in no other strip"
    for edge in (30.2, 8.0, np.nan, np.inf, -np.inf):  # within the most anomalous, within the most normal, nowhere
        assert list(strips(scores, edge)) == ["most anomalous", "most normal"]
    for edge in (0.5, 17.0, np.nan):
        few = strips(scores[:7], edge)
        assert sorted(np.concatenate(list(few.values()))) == list(range(7)), "each of few rows is shown once"


def test_an_image_is_named_below_it_so_that_people_find_its_file():
    paths = {"path": ["good/017.png", "a folder/of a long name/v1.2/017.jpeg"], "note": ["", ""]}
    assert captions(paths, np.array([0.0346, 1.0])) == ["good/017\np 0.0346", "… name/v1.2/017\np 1"]
    assert captions({"row": [7]}, np.array([np.nan])) == ["row 7\n"]


def test_a_model_that_is_worse_than_a_histogram_is_told_so():
    numbers = {"nats": 5.0, "nats_error": 0.1, "nats_histogram": 4.5, "rows": 100, "dims": 2}
    (said,) = below_baselines(numbers)
    assert said.startswith("nats 5 is worse than 4.5, that of a histogram of each column alone: try another model")
    (bound,) = below_baselines({"bits_per_dim": 3.3, "bits_per_dim_iw50": 3.2, "bits_per_dim_histogram": 2.4})
    assert bound.startswith("bits_per_dim 3.3, a bound, is worse") and bound.endswith(
        "discretised_vae has a tighter bound"
    )
    assert below_baselines({**numbers, "nats_error": 0.3}) == [], "within its error"
    for spread, is_said in ((3.0, True), (90.0, False)):
        rest = 9.0 + spread * np.random.default_rng(0).normal(size=35)
        rows = np.append(rest, 44_000.0)
        error = rows.std(ddof=1) / math.sqrt(len(rows))
        assert _error_without(rows.mean(), rest.mean(), error, 36) == pytest.approx(
            rest.std(ddof=1) / 35**0.5, rel=1e-6
        )
        odd = {**numbers, "rows": 36, "nats": rows.mean(), "nats_error": error, "nats_without_worst": rest.mean()}
        assert [line.partition(" is worse than 4.5")[0] for line in below_baselines(odd)] == (
            [f"nats {rows.mean():.4g} ({rest.mean():.4g} without its most surprising row)"] if is_said else []
        )
    assert below_baselines({**numbers, "nats": 4.0}) == below_baselines({"nats": 5.0}) == []
    assert below_baselines({**numbers, "nats_error": np.nan}) == below_baselines({"mse": 1.005, "mse_pca": 1.0}) == []
    rebuilt = {"mse": 2.0, "mse_pca": 1.0}
    assert len(below_baselines(rebuilt)) == 1 and below_baselines({**rebuilt, "denoised": 0.5}) == []
    known = {**numbers, "gap_nats": 1.0}  # a number without a simple method hides none that has one
    assert len(below_baselines(known)) == len(below_baselines({**known, "bits_per_dim": 4.0})) == 1


def test_a_mean_that_rests_on_one_row_is_told_and_no_other():
    """One odd row of 225 makes a mixture of 17.6 nats one of 22.6, so that a histogram looks better than it is."""
    for seed in range(50):
        nats = np.random.default_rng(seed).exponential(size=100 + 20 * seed)  # of a Gaussian in the plane
        for rows, is_told in ((nats, False), ([*nats, 40 * math.sqrt(len(nats))], True)):
            numbers = {"nats": np.mean(rows), "nats_error": np.std(rows) / math.sqrt(len(rows)), "rows": len(rows)}
            said = rests_on_one_row({**numbers, "nats_without_worst": np.sort(rows)[:-1].mean()})
            assert bool(said) == is_told
    assert (
        f" is {nats.mean():.4g} without the most surprising of {len(rows):,} test rows; its standard error" in said[0]
    )


def test_a_model_whose_samples_look_unlike_the_data_is_told():
    """A VAE of photographs may find each defect and draw none that looks like a photograph."""
    (said,) = unlike_the_data({"precision": 0.25, "precision_floor": 0.95})
    assert said.startswith("precision 0.25 is far below 0.95, that of training rows: too few of its samples look like")
    assert unlike_the_data({"precision": 0.6, "precision_floor": 0.95}) == unlike_the_data({"nats": 1.0}) == []
    assert unlike_the_data({"precision": math.nan, "precision_floor": 0.95}) == []


@pytest.mark.parametrize("key", EXPECTED)
def test_a_run_gets_the_numbers_and_pictures_of_its_capabilities(here, key):
    names, pictures = EXPECTED[key]
    numbers = numbers_of(key)
    assert set(numbers) - ORIGIN - {"mse_pca"} == names - {"mse_pca"}
    assert all(np.isfinite(numbers[name]) for name in set(numbers) - {"data_sha256", "checkpoint_sha256"})
    folder = paths.out("evaluate", key)
    written = files(folder)
    assert set(written) == PARTS | BESIDE.get(key, set()) | {f"{name}.png" for name in pictures}
    assert (folder / "sheets").is_dir() == any(name.startswith("sheets/") for name in written), "an empty folder goes"


@pytest.mark.parametrize("key", AGAIN)
def test_a_second_evaluation_loads_the_model_once_and_writes_the_same_bytes(here, key, monkeypatch):
    written = files(paths.out("evaluate", key))
    torch.manual_seed(1)  # global generators have no say
    np.random.seed(1)
    loaded, real = [], trained_run.load_model
    monkeypatch.setattr(trained_run, "load_model", lambda folder: loaded.append(folder) or real(folder))
    evaluate.main([key])
    assert loaded == [paths.out("train", key, "checkpoint")]
    assert files(paths.out("evaluate", key)) == written


@pytest.mark.parametrize("key", ["vae-digits_normal", "gmm-two_moons"])
def test_the_most_anomalous_rows_are_those_with_the_largest_scores_and_each_has_a_reason(here, key):
    found = pd.read_csv(paths.out("evaluate", key, "anomalous_rows.csv"))
    (default,) = (row["score"] for row in read_part(paths.out("evaluate", key), "scores") if row["is_default"])
    scores = read_scores(paths.out("evaluate", key))[key, default]
    known = load_calibration(paths.out("evaluate", key, "calibration.safetensors")).scores[default]
    assert found["score"].tolist() == pytest.approx(sorted(scores, reverse=True)[:12], rel=1e-12)
    assert scores[found["test_row"]].tolist() == pytest.approx(found["score"].tolist(), rel=1e-12)
    as_large = [np.sum(known >= score) for score in scores[found["test_row"]]]
    assert found["p"].tolist() == pytest.approx([(1 + count) / (len(known) + 1) for count in as_large], abs=1e-8)
    data = open_data(params().run(key).data)
    assert found["class"].astype(str).tolist() == [
        data.manifest["classes"][label] for label in data.y("test")[found["test_row"]]
    ]
    if key == "gmm-two_moons":
        for x, reason in zip(data.x("test")[found["test_row"]], found["reason"], strict=True):
            assert all(part.split()[1] in {f"{x[0]:.6g}", f"{x[1]:.6g}"} for part in reason.split("; ")), reason
    else:
        assert (
            found["reason"]
            .str.match(r"rebuilt worst around pixel row \d, column \d of 8x8, counted from 0 \(\d+% of the error\)")
            .all()
        )


def test_numbers_agree_with_one_another_and_with_their_definitions(here):
    numbers = numbers_of("vae-two_moons")
    x = open_data("two_moons").x("test")
    assert numbers["truth_nats"] == pytest.approx(-np.mean(LOG_DENSITIES["two_moons"](x)), abs=1e-6)
    assert numbers["gap_nats"] == pytest.approx(numbers["nats"] - numbers["truth_nats"])
    assert numbers["nats_iw50"] <= numbers["nats"]
    assert numbers["nats_histogram"] > numbers["truth_nats"] + 0.3, "the moons' columns depend on each other"
    assert numbers["memorisation"] == pytest.approx(numbers["sample_distance"] / numbers["test_distance"])
    assert (numbers["rows"], numbers["dims"]) == (len(x), 2)
    assert numbers["data_sha256"] == open_data("two_moons").sha256


def test_bits_are_nats_over_dimensions_and_the_held_out_class_does_not_count(here):
    numbers = numbers_of("vae-digits_normal")
    assert numbers["bits_per_dim"] == pytest.approx(numbers["nats"] / (64 * np.log(2)))
    y = open_data("digits_normal").y("test")
    assert numbers["rows"] == np.sum(y != 8) < len(y)


def test_the_histogram_of_pixels_is_a_model_by_itself(here):
    trained = open_trained(params().run("ae-digits"))
    train, test = (np.asarray(trained.data.x(split)).reshape(-1, 64) for split in ("train", "test"))
    expected = 0.0
    for pixel in range(64):
        p = (np.bincount(train[:, pixel], minlength=17) + 1) / (len(train) + 17)
        expected += np.log(p[test[:, pixel]]).mean()
    assert histogram_log_prob(trained) == pytest.approx(expected)


def test_independent_binary_pixels_are_a_model_by_itself(here):
    trained = open_trained(params().run("bernoulli_vae-digits"))
    train, test = (np.asarray(trained.data.x(split), dtype=float).reshape(-1, 64) / 16 for split in ("train", "test"))
    p = (train.sum(axis=0) + 0.5) / (len(train) + 1)
    draws = np.random.default_rng(0).random((400, *test.shape)) < test  # y, and log p of it
    log_p = np.where(draws, np.log(p), np.log1p(-p)).sum(axis=2).mean(axis=1)
    error = 5 * log_p.std() / np.sqrt(len(log_p))
    assert bernoulli_log_prob(trained) == pytest.approx(log_p.mean(), abs=error)


def test_a_classifier_tells_apart_what_differs_and_guesses_where_nothing_does(monkeypatch):
    monkeypatch.setattr(two_sample, "FOREST", {**two_sample.FOREST, "n_estimators": 40})
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
        return drawn_from(self.rows, n, noise)


def test_a_sampler_that_repeats_its_training_rows_is_found_out(here):
    run, data = params().run("sn_wgan-two_moons"), open_data("two_moons")
    numbers = two_sample.samples(Trained(run, Parrot(data.rows("train")), data, Path()), Noise(0))
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


def test_wrong_arguments_are_one_line(here):
    with pytest.raises((ConfigError, SystemExit)) as caught:
        evaluate.main(["no-such-run"])
    assert "\n" not in str(caught.value)
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([])


# anomaly scores


def test_a_search_that_would_take_long_is_left_out_in_a_line(here, monkeypatch, capsys):
    def names(key: str) -> list[str]:
        trained = open_trained(params().run(key))
        return [row["score"] for row, _ in anomaly_assessment.anomaly_scores(trained, score_rows(trained, 3), 3)]

    assert names("sn_wgan-digits_normal") == ["critic", "inversion"]
    assert "rows among its samples, 2 starts of 10 steps each: " in capsys.readouterr().out
    monkeypatch.setattr(anomaly_assessment, "MOST_NUMBERS", 1000)
    assert names("sn_wgan-digits_normal") == ["critic"]
    assert "sn_wgan-digits_normal: no score by inversion: " in capsys.readouterr().out
    assert set(names("gmm-digits_normal")) == {"nll", "typicality", "complexity", "likelihood_ratio", "mean_rank"}


def test_a_held_out_class_without_calibration_rows_says_what_to_write(here):
    trained = open_trained(params().run("gmm-digits_normal"))
    without = {split: rows for split, rows in trained.data.arrays.items() if split != "calibration"}
    data = Dataset(trained.data.name, trained.data.manifest, without)
    with pytest.raises(DataError, match=r"'8' and has no calibration split; add calibration: 0.2"):
        opened = Trained(trained.run, trained.model, data, Path())
        anomaly_assessment.anomaly_scores(opened, score_rows(opened, 0), 0)


# clusters


def test_what_cannot_be_clustered_says_so(here, tmp_path, capsys):
    assert latent_clusters.latent_clusters(open_trained(params().run("sn_wgan-two_moons")), 3, tmp_path) == []
    assert "sn_wgan-two_moons: no latents to cluster: sn_wgan has no encoder\n" in capsys.readouterr().out


def test_whitened_vectors_are_the_same_in_every_basis_of_the_latents():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(500, 4)), rng.normal(size=(50, 4))
    here, there = latent_clusters.whitened(train, test)
    np.testing.assert_allclose(np.cov(here.T), np.eye(4), atol=1e-12)
    basis, shift = rng.normal(size=(4, 4)), rng.normal(size=4)
    for found, other in zip(
        (here, there), latent_clusters.whitened(train @ basis + shift, test @ basis + shift), strict=True
    ):
        np.testing.assert_allclose(distances(other), distances(found), atol=1e-9)


def test_a_direction_without_variance_is_left_out_of_whitened_vectors():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 5))
    here, _ = latent_clusters.whitened(train, train)
    assert here.shape == (500, 3)
    assert latent_clusters.whitened(train[:, :1], train[:, :1])[0].std(ddof=1) == pytest.approx(1)


def distances(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows[:, None] - rows, axis=2)
