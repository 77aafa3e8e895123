"""What evaluate says of samples: laws of its numbers on samplers whose worth is known, and when a collapse is said."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gen_models.adversarial.f_gan import FGAN
from gen_models.adversarial.gan import GAN
from gen_models.adversarial.sn_wgan import SNWGAN
from gen_models.evaluating import draw, evaluating
from gen_models.noise import Noise
from pipelines.config.params import Run
from pipelines.data.source_table import SOURCES
from pipelines.data.sources.gaussians import MIXTURES
from pipelines.data.store import Dataset
from pipelines.evaluation.metrics import two_sample
from pipelines.evaluation.metrics.collapse import collapse
from pipelines.evaluation.metrics.critic import games
from pipelines.evaluation.metrics.fidelity import FEATURES, common_std, features_of, fidelity
from pipelines.evaluation.metrics.gradient_norms import GRADIENT_ROWS, gradient_norms
from pipelines.evaluation.metrics.two_sample import samples
from pipelines.evaluation.trained_run import Trained
from pipelines.report.leaderboard_columns import COLUMNS
from tests.drawing import drawn_from

NOISE = Noise(seed=4)
RUN = Run("run", "model", "data", "run")


class Drawing(nn.Module):
    """A sampler by a function of (n, noise)."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def sample(self, n: int, noise: Noise) -> Tensor:
        return self.draw(n, noise)


def trained_on(source: str, model, *, rows: int = 3000, labelled: bool = True, **facts) -> Trained:
    """A model beside a data set in memory: half of the rows for training, half for the test."""
    options = {} if source == "digits" else {"rows": 2 * rows}
    found = SOURCES[source](NOISE, **options)
    x = np.asarray(found.x, dtype=np.float32)
    y = np.asarray(found.y) if labelled else np.zeros(len(x), dtype=np.int64)
    order = NOISE.permutation("split", len(x)).numpy()
    half = len(x) // 2
    arrays = {split: {"x": x[part], "y": y[part]} for split, part in (("train", order[:half]), ("test", order[half:]))}
    manifest = {
        "source": source, "event_shape": x.shape[1:], "levels": None, "statistics": None, "anomaly": None,
        "classes": [str(k) for k in range(int(y.max()) + 1)], **facts,
    }  # fmt: skip
    return Trained(RUN, model, Dataset("data", manifest, arrays), Path())


def truth(source: str) -> Drawing:
    return Drawing(lambda n, noise: torch.from_numpy(MIXTURES[source].draw(noise, rows=n).x))


def stuck(source: str, mode: int) -> Drawing:
    """All samples around one of a mixture's modes."""
    mixture = MIXTURES[source]
    std = common_std(mixture)

    def draw(n: int, noise: Noise) -> Tensor:
        centre = torch.from_numpy(mixture.means[mode]).float()
        return centre + std * noise.normal("stuck", (n, len(centre)), like=torch.zeros(()))

    return Drawing(draw)


@pytest.fixture
def small_forest(monkeypatch):
    """For tests that ask nothing of the classifier of samples and rows."""
    monkeypatch.setattr(two_sample, "FOREST", {**two_sample.FOREST, "n_estimators": 2})


def all_of(trained: Trained) -> dict[str, float]:
    return {**samples(trained, NOISE), **fidelity(trained, NOISE)}


# A sampler that is the data, one that lost most of them, one that repeats


@pytest.mark.parametrize("source", ["ring8", "grid25", "8gaussians"])
def test_the_data_s_own_sampler_reaches_every_mode_and_its_numbers_are_the_floors(source):
    found = fidelity(trained_on(source, truth(source)), NOISE)
    assert found["modes"] == found["modes_known"] == len(MIXTURES[source].means)
    assert found["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    for name in ("precision", "recall", "density", "coverage", "high_quality"):
        assert found[name] == pytest.approx(found[f"{name}_floor"], abs=0.08), name
    assert collapse(found) == []


def test_a_generator_that_is_stuck_in_a_mode_is_noticed_and_said(monkeypatch):
    trained = trained_on("ring8", stuck("ring8", 3))
    found = fidelity(trained, NOISE)
    assert (found["modes"], found["modes_known"]) == (1, 8)
    assert found["precision"] > 0.9  # what it makes, it makes well
    assert found["recall"] < 0.2 and found["coverage"] < 0.2
    modes, recall, coverage = collapse(found)
    assert modes.startswith("1 of 8 modes reached") and "99% of the samples" in modes
    assert recall.startswith("recall 0.1") and coverage.startswith("coverage 0.1")


def test_a_sampler_that_repeats_its_training_rows_is_said_to(small_forest):
    trained = trained_on("8gaussians", None, rows=1000)
    rows = trained.normal("train")
    parrot = Trained(RUN, Drawing(lambda n, noise: drawn_from(rows, n, noise)), trained.data, Path())
    (said,) = collapse(all_of(parrot))
    assert said.startswith("memorisation 0.00: samples repeat training rows")


def test_nothing_is_said_of_numbers_that_are_not_there():
    assert collapse({}) == collapse({"rows": 3.0, "recall": 0.1}) == collapse({"recall": math.nan}) == []
    assert collapse({"coverage": 0.49, "coverage_floor": 0.98}) == []  # half is not below half
    blurred = {"coverage": 0.48, "coverage_floor": 0.98}
    assert len(collapse(blurred)) == 1 and collapse({**blurred, "nats": 3.0}) == [], (
        "a likelihood shows what is left out"
    )
    assert len(collapse({**blurred, "nats": 3.0, "modes": 7.0, "modes_known": 8.0})) == 1


# Frechet distance of own features


def digits(model=None, **facts) -> Trained:
    return trained_on("digits", model, levels=17, **facts)


def test_training_rows_in_place_of_samples_are_at_the_floor_and_noise_is_far_from_it():
    trained = digits()
    rows = trained.normal("train")
    shown = fidelity(trained_with(trained, lambda n, noise: drawn_from(rows, n, noise)), NOISE)
    noisy = fidelity(trained_with(trained, noise_images), NOISE)
    assert shown["frechet"] < 2 * shown["frechet_floor"] < 0.2 * noisy["frechet"]
    assert shown["frechet_floor"] == noisy["frechet_floor"] > 0
    assert shown["feature_accuracy"] > 0.9
    assert fidelity(trained_with(trained, noise_images), NOISE) == noisy


def trained_with(trained: Trained, draw) -> Trained:
    return Trained(trained.run, Drawing(draw), trained.data, Path())


def noise_images(n: int, noise: Noise) -> Tensor:
    return (17 * noise.uniform("images", (n, 1, 8, 8), like=torch.zeros(()))).floor()


def test_features_are_the_classifiers_hidden_layer_and_without_classes_principal_components():
    trained = digits()
    features, accuracy = features_of(trained, trained.units(trained.normal("train")), 0)
    x = trained.units(trained.normal("test"))[:20]
    assert features(x).shape == (20, FEATURES)
    assert (features(x) >= 0).all() and accuracy > 0.9
    trained = digits(labelled=False)
    features, accuracy = features_of(trained, trained.units(trained.normal("train")), 0)
    z = features(trained.units(trained.normal("train")))
    assert accuracy is None and z.mean(dim=0).abs().max() < 1e-4
    covariance = z.mT @ z
    off_diagonal = covariance - covariance.diagonal().diag()
    assert off_diagonal.abs().max() < 1e-4 * covariance.diagonal().max()
    assert "feature_accuracy" not in fidelity(trained_with(trained, noise_images), NOISE)


def test_modes_are_known_of_mixtures_of_one_standard_deviation_only():
    found = {name: common_std(mixture) for name, mixture in MIXTURES.items()}
    assert found == {
        "gmm_1d": None, "bimodal": 0.5, "gmm_2d": None, "8gaussians": 0.5 / 1.414, "ring8": 0.01, "grid25": 0.05,
    }  # fmt: skip


def test_too_few_rows_for_neighbours_are_no_error():
    trained = trained_on("8gaussians", truth("8gaussians"), rows=5)
    assert "precision" not in fidelity(trained, NOISE)


# The critic


class Slope(nn.Module):
    """T(y) = a y_1 + b."""

    def __init__(self, a: float, b: float):
        super().__init__()
        self.a, self.b = a, b

    def forward(self, y: Tensor) -> Tensor:
        return self.a * y[:, 0] + self.b


def game(kind, critic: nn.Module, **options):
    model = kind([2], None, latent=2, hidden=[4], **options)
    model.critic = critic
    return model.eval()


def numbers(model) -> tuple[dict[str, float], Trained, Tensor]:
    trained = trained_on("8gaussians", model, rows=600)
    with evaluating(model):
        return games(trained, NOISE), trained, draw(model, 600, NOISE)


def test_the_wasserstein_critic_s_value_by_hand_with_its_floor():
    found, trained, fake = numbers(game(SNWGAN, Slope(1.0, 5.0)))
    test, train = (trained.normal(split)[:, 0].mean() for split in ("test", "train"))
    assert found == {
        "critic_wasserstein": pytest.approx((test - fake[:, 0].mean()).item(), abs=1e-5),
        "critic_wasserstein_floor": pytest.approx((test - train).item(), abs=1e-5),
    }


class Dot(nn.Module):
    """T(y) = w y."""

    def __init__(self, weight: list[float]):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, y: Tensor) -> Tensor:
        return y @ self.weight


def test_the_norms_of_both_players_gradients_by_hand():
    """Of E T(fake) - E T(real) by w it is the distance of the means; a flat critic teaches nothing."""
    model = game(SNWGAN, Dot([1.0, 2.0]))
    trained = trained_on("8gaussians", model, rows=600)
    x = trained.normal("train")[:GRADIENT_ROWS]
    fakes = model.generator(NOISE.normal("critic.z", (len(x), 2), like=x))
    model.requires_grad_(False)  # as a checkpoint's model is
    with evaluating(model):
        found = gradient_norms(trained, NOISE)
        assert not any(parameter.requires_grad for parameter in model.parameters())
        distance = (fakes.mean(dim=0) - model.data_scale.centre(x).mean(dim=0)).norm().item()
    assert set(found) == {"gradient_norm_critic", "gradient_norm_generator"}
    assert found["gradient_norm_critic"] == pytest.approx(distance, rel=1e-5)
    assert found["gradient_norm_generator"] > 0
    model.critic = Dot([0.0, 0.0])
    with evaluating(model):
        assert gradient_norms(trained, NOISE)["gradient_norm_generator"] == 0.0


def test_a_classifier_s_accuracy_is_the_share_of_rows_on_the_right_side():
    found, trained, fake = numbers(game(GAN, Slope(1.0, 0.5)))
    share = {split: (trained.normal(split)[:, 0] > -0.5).double().mean().item() for split in ("test", "train")}
    assert found["critic_accuracy_real"] == pytest.approx(share["test"])
    assert found["critic_accuracy_train"] == pytest.approx(share["train"])
    assert found["critic_accuracy_fake"] == pytest.approx((fake[:, 0] < -0.5).double().mean().item())
    assert found["critic_accuracy"] == pytest.approx(
        (found["critic_accuracy_real"] + found["critic_accuracy_fake"]) / 2
    )


def test_a_critic_that_guesses_has_the_value_of_two_equal_distributions():
    found, *_ = numbers(game(GAN, Slope(0.0, 0.0)))
    assert found["critic_value"] == pytest.approx(-math.log(4))


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_critic_whose_output_falls_with_how_real_a_row_is_gives_the_losses_own_terms(direction):
    model = game(FGAN, Slope(0.3, -0.7), divergence="reverse_kl", direction=direction)
    found, trained, fake = numbers(model)
    terms = model.losses.critic(model.critic(trained.normal("test")), model.critic(fake)).terms
    for name, term in terms.items():
        assert found[f"critic_{name}"] == pytest.approx(term.item(), abs=1e-6)


def test_a_model_that_is_no_game_has_no_critic():
    assert games(trained_on("8gaussians", truth("8gaussians"), rows=50), NOISE) == {}


def test_numbers_have_columns_and_a_column_s_floor_is_a_number(small_forest):
    names = {column.name: column for column in COLUMNS}
    found = {**all_of(trained_on("ring8", truth("ring8"), rows=600)), "frechet": 0.0, "frechet_floor": 0.0}
    for name in ("precision", "recall", "density", "coverage", "frechet", "modes", "high_quality"):
        assert names[name].references[0][0] in found
    assert not names["critic_accuracy"].is_ranked and not names["critic_wasserstein"].is_ranked
