"""denoise and compress, as commands and as stages: their laws, what they write, the same again, errors of one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from gen_models import checkpoint, wiener
from gen_models.autoencoders.autoencoder import Autoencoder
from gen_models.build import build_model, build_optimisers
from gen_models.contracts import WarmStart
from gen_models.denoising import at_level, is_denoiser
from gen_models.engine import Training, fit
from gen_models.errors import DataError, GenModelsError
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines import cli, config, denoise, denoising, paths, prepare
from pipelines.store import open_data
from pipelines.trained import open_trained

REPOSITORY = Path(__file__).parent.parent
RUNS = {
    "denoising_ae-digits": ("denoising_ae", "autoencoders", "digits"),
    "denoising_ae-two_moons": ("denoising_ae", "autoencoders", "two_moons"),
    "ae-digits": ("ae", "autoencoders", "digits"),
    "vae-digits": ("vae", "autoencoders", "digits"),
    "vq_vae-digits": ("vq_vae", "autoencoders", "digits"),
    "gmm-two_moons": ("gmm", "mixtures", "two_moons"),
}
STEPS = {"vq_vae": 8}  # a convolution's take long


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with prepared data and a barely trained model for each run."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(REPOSITORY / "conf", root / "conf")
    (root / "gen_models").mkdir()
    moons = root / "conf" / "data" / "two_moons.yaml"
    moons.write_text(moons.read_text().replace("rows: 40000", "rows: 800"))
    lines = {key: dict(zip(("model", "family", "data"), run, strict=True)) for key, run in RUNS.items()}
    content = {"seed": 3, "budget": "quick", "workers": 1, "data": ["digits", "two_moons"]}
    content |= {"sweeps": lines, "runs": {key: {**line, "setting": key} for key, line in lines.items()}}
    (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        for name in config.params().data:
            prepare.main([name])
        for run in config.params().runs.values():
            train(run)
        yield root


def train(run: config.Run) -> None:
    """A checkpoint after a few minibatches."""
    steps = STEPS.get(run.model, 60)
    conf, data = config.compose(run.model, run.data, "quick"), open_data(run.data)
    model = build_model(conf["model"], 0)
    if isinstance(model, WarmStart):
        with torch.no_grad():
            model.warm_start(data.rows("train"), Noise(0))
    training = Training(model, build_optimisers(conf["optim"], model))
    for _ in fit(training, Batches(data.x("train"), 64, 0), Noise(0), steps=steps, report_every=steps):
        pass
    checkpoint.save_model(paths.out("train", run.key, "checkpoint"), conf["model"], model)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rows_of(stage: str) -> list[dict]:
    return json.loads(paths.out(stage, "scores.json").read_text())


# the linear denoiser


def table(rows: int = 300) -> torch.Tensor:
    """Correlated rows of 5 numbers, float64, far from 0."""
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    return torch.randn(rows, 5, generator=generator, dtype=torch.float64) @ mix + 100


def denoiser(corruption: str, level: float, levels: int | None = None) -> Autoencoder:
    return Autoencoder([5], levels, latent=3, hidden=[], corruption=corruption, corruption_level=level).double()


@pytest.mark.parametrize("kind", ["gaussian", "masking"])
def test_the_closed_form_is_numpys_least_squares(kind):
    model, x = denoiser(kind, 0.4), table()
    found = wiener.fit(model, x, Noise(2), draws=3)
    seen = torch.cat([model.corrupt(x, Noise(2).at(draw)) for draw in range(3)]).numpy()
    design, truth = np.column_stack([seen, np.ones(len(seen))]), np.tile(x.numpy(), (3, 1))
    expected = np.linalg.lstsq(design, truth, rcond=None)[0]
    np.testing.assert_allclose(found.matrix.numpy(), expected[:5].T, atol=1e-8)
    np.testing.assert_allclose(found.offset.numpy(), expected[5], atol=1e-6)


def test_of_gaussian_noise_it_tends_to_wieners_formula():
    """C (C + s^2 I)^-1, within the error of 400 draws of 300 rows."""
    x = table()
    found = wiener.fit(denoiser("gaussian", 0.7), x, Noise(0), draws=400)
    covariance = torch.cov(x.T, correction=0)
    expected = covariance @ torch.linalg.inv(covariance + 0.7**2 * torch.eye(5, dtype=torch.float64))
    assert (found.matrix - expected).abs().max() < 0.02


def test_a_number_that_never_changes_gets_no_weight_and_comes_back():
    x = table()
    x[:, 2] = 0.0
    model = denoiser("masking", 0.5)
    found = wiener.fit(model, x, Noise(0))
    assert found.matrix.isfinite().all() and found.matrix[:, 2].abs().max() < 1e-6
    assert found.denoise(model.corrupt(x, Noise(1)))[:, 2].abs().max() < 1e-6


def test_no_rows_cannot_be_fitted():
    with pytest.raises(DataError, match="no rows to fit a linear denoiser on"):
        wiener.fit(denoiser("gaussian", 0.5), table(0), Noise(0))


def test_only_what_was_trained_to_undo_a_corruption_is_a_denoiser():
    assert is_denoiser(denoiser("masking", 0.5))
    assert not is_denoiser(Autoencoder([5], None, latent=3, hidden=[]))
    assert not is_denoiser(torch.nn.Linear(2, 2))


def test_another_level_shares_the_weights_and_leaves_the_model_as_it_was():
    model = denoiser("masking", 0.7)
    other = at_level(model, 2.0)
    assert (other.corruption_level, model.corruption_level) == (1.0, 0.7), "a share is at most 1"
    assert at_level(denoiser("gaussian", 0.7), 2.0).corruption_level == 1.4
    x = table(10)
    torch.testing.assert_close(other.denoise(x), model.denoise(x), rtol=0, atol=0)
    torch.testing.assert_close(other.corrupt(x, Noise(0)), torch.zeros_like(x), rtol=0, atol=0)


# denoise, the stage


def test_every_denoiser_has_three_levels_beside_the_linear_one_twice_the_same(project):
    denoising.main([])
    rows = rows_of("denoise")
    assert [(row["run"], row["factor"]) for row in rows] == [
        (key, factor) for key in ("denoising_ae-digits", "denoising_ae-two_moons") for factor in (0.5, 1.0, 2.0)
    ]
    for row in rows:
        assert row["level"] == row["factor"] * 0.5
        assert 0 < row["wiener"] < row["noisy"] and row["denoised"] > 0
        assert row["gain"] == pytest.approx(row["wiener"] - row["denoised"])
    for row in rows[1:3]:
        assert row["denoised"] < row["noisy"]
    written = files(paths.out("denoise"))
    assert set(written) == {"scores.json", "denoised-denoising_ae-digits.png"}
    torch.manual_seed(1)  # global generators have no say
    denoising.main([])
    assert files(paths.out("denoise")) == written


def test_the_error_of_noise_is_the_clipped_noises(project):
    row = next(row for row in rows_of("denoise") if row["run"] == "denoising_ae-digits" and row["factor"] == 1.0)
    x = open_data("digits").rows("test").double().numpy()
    noise = 0.5 * 17 * np.random.default_rng(0).standard_normal((40, *x.shape))
    expected = np.square((np.clip(x + noise, 0, 16) - x) / 16).mean()
    assert row["noisy"] == pytest.approx(expected, rel=0.05)  # 17,000 numbers


# denoise, the command


def test_rows_come_back_as_the_model_denoises_them(project, tmp_path, capsys):
    trained = open_trained(config.params().run("denoising_ae-digits"))
    x = trained.model.corrupt(trained.data.rows("test")[:7], Noise(0))
    np.save(tmp_path / "noisy.npy", x.numpy())
    model = str(paths.out("train", "denoising_ae-digits", "checkpoint"))
    denoise.main([model, f"{tmp_path}/noisy.npy", "--output", f"{tmp_path}/clean.npy"])
    assert "7 rows of 64" in capsys.readouterr().out
    with torch.no_grad():
        expected = trained.model.denoise(x).flatten(1)
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "clean.npy")), expected)
    denoise.main([model, f"{tmp_path}/noisy.npy"])
    assert len(capsys.readouterr().out.splitlines()) == 8, "a header and a line a row"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("ae-digits digits.npy", "Autoencoder was not trained to undo a corruption; .* model.corruption: gaussian"),
        ("gmm-two_moons digits.npy", "GaussianMixture was not trained to undo a corruption"),
        ("denoising_ae-digits none.npy", "none.npy: no such file"),
        ("denoising_ae-digits moons.npy", r"moons.npy: 2 columns; this model takes rows of 64 numbers"),
        ("denoising_ae-digits nan.npy", r"nan.npy, row 0, column 3: nan"),
        ("denoising_ae-digits digits.npy --output clean.png", "ends with .npy or .csv"),
        ("denoising_ae-digits digits.npy --output none/clean.npy", "none/clean.npy: cannot be written"),
    ],
)
def test_a_wrong_word_is_one_line(project, tmp_path, command, line):
    digits = np.zeros((2, 64))
    np.save(tmp_path / "digits.npy", digits)
    np.save(tmp_path / "moons.npy", digits[:, :2])
    digits[0, 3] = np.nan
    np.save(tmp_path / "nan.npy", digits)
    run, *words = command.split()
    words = [word if word.startswith("-") else f"{tmp_path}/{word}" for word in words]
    with pytest.raises(GenModelsError, match=line) as raised:
        denoise.main([str(paths.out("train", run, "checkpoint")), *words])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("verb", "stage"), [("denoise", denoising)])
def test_a_verb_without_arguments_is_the_stage_over_all_runs(project, monkeypatch, verb, stage):
    called = []
    monkeypatch.setattr(stage, "main", called.append)
    cli._main([verb])
    assert called == [[]]
    with pytest.raises(GenModelsError):
        cli._main([verb, "no/such/model", "no-such-file.npy", *(["--output", "x.gmc"] if verb == "compress" else [])])
    with pytest.raises(SystemExit, match="2"):
        cli._main([verb, "--no-such-option"])
    assert called == [[]]
