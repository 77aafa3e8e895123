"""The metric of each conf prefers a model that is known to be better, where a careless metric would miss why.

A row of PREFERENCES has the conf, the data, and what makes the worse model. Densities are set against the same ones
fitted to rows whose columns were shuffled (right columns, no dependence) or made too wide, autoencoders against ones
that do not use their bottleneck, and games, whose fits take too long for a test, against modes that are missing or
blurred.
"""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gen_models.adversarial.game import Game
from gen_models.autoencoders.vae import VAE
from gen_models.contracts import WarmStart
from gen_models.engine import Training, fit
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.config.compose import compose, override
from pipelines.config.conf_files import data_conf, names
from pipelines.data.prepare import prepare
from pipelines.data.store import Dataset, open_folder
from pipelines.training.initial_model import build_training
from pipelines.training.validation_metrics import ValidationMetrics
from tests.nudges import normal

ROWS = {"two_moons": 2000, "ring8": 4000, "bimodal": 2000, "factors": 2000}  # of data sets that are made; enough here
MODE = 3.0  # how many times too wide a blurred mode is


@dataclass(frozen=True)
class Preference:
    """pair: a function (model's conf, data) -> (better, worse); steps, changes: of a fit, where there is one."""

    conf: str
    data: str
    pair: Callable[["Preference", Dataset], tuple[nn.Module, nn.Module]]
    steps: int = 150
    changes: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.conf}-{self.data}-{self.pair.__name__}"

    def composed(self) -> dict:
        return override(compose(self.conf, self.data, "quick"), self.changes)

    def fitted(self, data: Dataset, rows: Tensor | None = None) -> nn.Module:
        """The conf's model after a few minibatches of the training rows, or of others in their place."""
        conf = self.composed()
        training = build_training(conf, 0)
        rows = data.rows("train") if rows is None else rows
        if isinstance(training.model, WarmStart):
            with torch.no_grad():
                training.model.warm_start(rows, Noise(0))
        options = {"report_every": 1000, "order": conf["order"], "clip_norm": conf["clip_norm"]}
        list(fit(training, Batches(rows, 64, 0), Noise(0), steps=self.steps, **options))
        return training.model.eval().requires_grad_(False)


# Densities


def no_dependence(preference: Preference, data: Dataset) -> tuple[nn.Module, nn.Module]:
    """The worse one learned from rows whose columns were shuffled: each column is right."""
    rows = data.rows("train")
    flat = rows.flatten(1)
    apart = torch.stack([flat[Noise(d).permutation("apart", len(flat)), d] for d in range(flat.shape[1])], dim=1)
    return preference.fitted(data), preference.fitted(data, apart.view_as(rows))


def too_wide(preference: Preference, data: Dataset) -> tuple[nn.Module, nn.Module]:
    """The worse one draws the same picture, a third wider."""
    better = preference.fitted(data)
    worse = copy.deepcopy(better)
    worse.data_scale.scale *= 4 / 3
    return better, worse


# Autoencoders


def one_dead_latent(preference: Preference, data: Dataset) -> tuple[nn.Module, nn.Module]:
    """The worse one has lost the latent that moves most."""
    better = preference.fitted(data)
    worse = copy.deepcopy(better)
    most = better.encode(data.rows("validation")).std(dim=0).argmax()
    last = [layer for layer in worse.encoder.modules() if isinstance(layer, nn.Linear)][-1]
    last.weight[most], last.bias[most] = 0.0, 0.0
    return better, worse


def collapsed(preference: Preference, data: Dataset) -> tuple[nn.Module, nn.Module]:
    """The posterior of the worse one is its prior: its rate is 0, the best there is, and its latents say nothing."""
    better = preference.fitted(data)
    worse = copy.deepcopy(better)
    last = [layer for layer in worse.encoder.modules() if isinstance(layer, nn.Linear)][-1]
    last.weight.zero_()
    last.bias.zero_()
    return better, worse


def too_wide_a_posterior(preference: Preference, data: Dataset) -> tuple[nn.Module, nn.Module]:
    """The worse one has the same p, and a q that is e times as wide: only the bound says so."""
    better = preference.fitted(data)
    worse = copy.deepcopy(better)
    last = [layer for layer in worse.encoder.modules() if isinstance(layer, nn.Linear)][-1]
    last.bias[len(last.bias) // 2 :] += 2.0
    return better, worse


def one_code(preference: Preference, data: Dataset) -> tuple[nn.Module, nn.Module]:
    """All codes of the worse one are their mean."""
    better = preference.fitted(data)
    worse = copy.deepcopy(better)
    for part in worse.modules():
        if isinstance(codes := getattr(part, "codes", None), Tensor):
            codes.copy_(codes.mean(dim=0, keepdim=True).expand_as(codes))
    return better, worse


class KnownFactors(nn.Module):
    """An encoder that looks its rows up, and returns their factors as the means of its first latents."""

    def __init__(self, vae: VAE, data: Dataset, mix: Tensor):
        super().__init__()
        rows = data.rows("validation")
        self.rows = vae.data_scale.centre(rows).flatten(1)
        factors = torch.from_numpy(data.factors("validation").copy()).float()
        self.codes = ((factors - factors.mean(dim=0)) / factors.std(dim=0)) @ mix
        self.latent = vae.latent

    def forward(self, y: Tensor) -> Tensor:
        codes = self.codes[torch.cdist(y, self.rows).argmin(dim=1)]
        return nn.functional.pad(codes, (0, 2 * self.latent - codes.shape[1]))


def mixed_factors(preference: Preference, data: Dataset) -> tuple[nn.Module, nn.Module]:
    """Both know all factors; the worse one's latents are a rotation of them."""
    rotation = torch.linalg.qr(normal(5, 5)).Q.float()
    pair = [preference.fitted(data), preference.fitted(data)]
    for model, mix in zip(pair, (torch.eye(5), rotation), strict=True):
        model.encoder = KnownFactors(model, data, mix)
    return pair[0], pair[1]


# Games: the networks are the conf's, except for a generator that returns rows of the data


class Returning(nn.Module):
    """A generator whose first latent chooses one of the rows y, and whose second moves it."""

    def __init__(self, y: Tensor, sigma: float = 0.0):
        super().__init__()
        self.y, self.sigma = y, sigma

    def forward(self, z: Tensor) -> Tensor:
        chosen = (torch.special.ndtr(z[:, 0]) * len(self.y)).long().clamp(max=len(self.y) - 1)
        return self.y[chosen] + self.sigma * z[:, 1:3] if self.sigma else self.y[chosen]


def blurred_modes(preference: Preference, data: Dataset) -> tuple[nn.Module, nn.Module]:
    """Both draw the eight modes, each as often; those of the worse one are three times too wide."""
    games = [preference.fitted(data) for _ in range(2)]
    y, modes = games[0].data_scale.centre(data.rows("train")), torch.from_numpy(data.y("train").astype("int64"))
    centres = torch.stack([y[modes == mode].mean(dim=0) for mode in range(8)])
    width = (y - centres[modes]).square().mean().sqrt().item()
    for game, sigma in zip(games, (width, MODE * width), strict=True):
        game.generator = Returning(centres, sigma)
    return games[0], games[1]


def missing_classes(preference: Preference, data: Dataset) -> tuple[nn.Module, nn.Module]:
    """Both draw perfect rows; the worse one never draws three of the ten classes."""
    games = [preference.fitted(data) for _ in range(2)]
    y, labels = games[0].data_scale.centre(data.rows("train")), torch.from_numpy(data.y("train").astype("int64"))
    for game, rows in zip(games, (y, y[labels < 7]), strict=True):
        assert isinstance(game, Game)
        game.generator = Returning(rows)
    return games[0], games[1]


SMALL_IMAGE_FLOW = {"model.channels": 8}
FAST = {"model.channels": [16, 32], "model.hidden": [64]}
PREFERENCES = [
    Preference("gmm", "two_moons", no_dependence, steps=5, changes={"model.em_steps": 10}),
    Preference("affine_flow", "two_moons", no_dependence),
    Preference("scalar_flow", "bimodal", too_wide, steps=60),
    Preference("universal_flow", "bimodal", too_wide, steps=60),
    Preference("nice", "two_moons", no_dependence, steps=40),
    Preference("realnvp", "two_moons", no_dependence, steps=60),
    Preference("spline_flow", "two_moons", no_dependence, steps=30),
    Preference("flow_matching", "two_moons", no_dependence, steps=100),
    Preference("ffjord", "two_moons", no_dependence, steps=15),
    Preference("image_realnvp", "digits", no_dependence, steps=8, changes=SMALL_IMAGE_FLOW),
    Preference("glow", "digits", no_dependence, steps=20, changes={**SMALL_IMAGE_FLOW, "model.steps": 2}),
    Preference("ae", "digits", one_dead_latent),
    Preference("conv_ae", "digits", one_dead_latent, changes={**FAST, "optim.autoencoder.lr": 5e-3}),
    Preference("denoising_ae", "digits", one_dead_latent),
    Preference("vae", "digits", collapsed),
    Preference("conv_vae", "digits", collapsed, changes={**FAST, "optim.vae.lr": 5e-3}),
    Preference("score_vae", "digits", collapsed),
    Preference("discretised_vae", "digits", collapsed),
    Preference("bernoulli_vae", "digits", collapsed),
    Preference("table_vae", "diabetes", collapsed),
    Preference("beta_vae", "digits", collapsed, changes={**FAST, "optim.vae.lr": 5e-3, "model.beta": 0.5}),
    Preference("beta_vae", "factors", mixed_factors, steps=0),
    Preference("iwae", "digits", too_wide_a_posterior, steps=30),
    Preference("iwae2", "digits", too_wide_a_posterior, steps=30),
    Preference("vq_vae", "digits", one_code, steps=5),
    Preference("vq_vae2", "digits", one_code, steps=5),
    Preference("gan", "ring8", blurred_modes, steps=0),
    Preference("f_gan", "ring8", blurred_modes, steps=0),
    Preference("wgan", "ring8", blurred_modes, steps=0),
    Preference("sn_wgan", "ring8", blurred_modes, steps=0),
    Preference("dcgan", "digits", missing_classes, steps=0),
    Preference("conv_wgan", "digits", missing_classes, steps=0),
]


@pytest.fixture(scope="module")
def data_of(tmp_path_factory) -> Callable[[str], Dataset]:
    """Prepared data by name, with few rows where they are made."""

    @functools.cache
    def opened(name: str) -> Dataset:
        folder: Path = tmp_path_factory.mktemp("data") / name
        conf = data_conf(name)
        if name in ROWS:
            conf["options"]["rows"] = ROWS[name]
        folder.mkdir()
        prepare(folder, name, conf, 0)
        return open_folder(folder)

    return opened


def test_each_conf_has_a_row():
    assert {preference.conf for preference in PREFERENCES} == set(names("model"))


@pytest.mark.parametrize("preference", PREFERENCES, ids=str)
def test_the_metric_of_the_conf_prefers_the_better_model(preference, data_of):
    data, conf = data_of(preference.data), preference.composed()
    measure, name = ValidationMetrics(data, conf, "cpu"), f"validation.{conf['metric']}"
    better, worse = (measure(Training(model, {}))[name] for model in preference.pair(preference, data))
    print(f"{better:.5g} {worse:.5g}")
    assert better < worse
