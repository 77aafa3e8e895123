"""Denoising and compression, as commands and as parts of evaluate and compare: laws, what is written, errors."""

import json

import numpy as np
import pytest
import torch

from gen_models.analysis import linear_denoiser
from gen_models.analysis.denoising import at_level, is_denoiser
from gen_models.autoencoders.autoencoder import Autoencoder
from gen_models.codecs import container, latents, principal
from gen_models.errors import DataError, GenModelsError
from gen_models.noise import Noise
from pipelines import cli
from pipelines.commands import compress, decompress, denoise
from pipelines.comparison import baselines, compare, compression_baselines
from pipelines.config.params import params
from pipelines.data.store import open_data
from pipelines.evaluation import evaluate, png_and_jpeg
from pipelines.evaluation.compression_rates import compression_rates
from pipelines.evaluation.denoising_errors import denoising_errors
from pipelines.evaluation.trained_run import open_trained
from pipelines.runtime import paths
from tests.trained import COMPRESSED_ROWS, SEED, be_quick, files, make_trained_project

RUNS = {
    "denoising_ae-digits": ("denoising_ae", "digits"),
    "denoising_ae-two_moons": ("denoising_ae", "two_moons"),
    "ae-digits": ("ae", "digits"),
    "vae-digits": ("vae", "digits"),
    "vq_vae-digits": ("vq_vae", "digits"),
    "gmm-two_moons": ("gmm", "two_moons"),
}
DATA = ["digits", "two_moons"]
STEPS = {"vq_vae": 8}  # a convolution's take long


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with prepared data and a barely trained model for each run."""
    root = make_trained_project(tmp_path_factory.mktemp("project"), RUNS, DATA, STEPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        be_quick(patch)
        yield root


@pytest.fixture(scope="module")
def compared(project):
    """{part: rows} of denoising and compression, after evaluate of each run, baselines of each data set and compare."""
    for key in RUNS:
        evaluate.main([key])
    for name in DATA:
        baselines.main([name])
    compare.main([])
    return {part: rows_of(part) for part in ("denoising", "compression")}


def rows_of(part: str) -> list[dict]:
    return json.loads(paths.out("compare", part, "scores.json").read_text())


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
    found = linear_denoiser.fit(model, x, Noise(2), draws=3)
    seen = torch.cat([model.corrupt(x, Noise(2).at(draw)) for draw in range(3)]).numpy()
    design, truth = np.column_stack([seen, np.ones(len(seen))]), np.tile(x.numpy(), (3, 1))
    expected = np.linalg.lstsq(design, truth, rcond=None)[0]
    np.testing.assert_allclose(found.matrix.numpy(), expected[:5].T, atol=1e-8)
    np.testing.assert_allclose(found.offset.numpy(), expected[5], atol=1e-6)


def test_of_gaussian_noise_it_tends_to_wieners_formula():
    """C (C + s^2 I)^-1, within the error of 400 draws of 300 rows."""
    x = table()
    found = linear_denoiser.fit(denoiser("gaussian", 0.7), x, Noise(0), draws=400)
    covariance = torch.cov(x.T, correction=0)
    expected = covariance @ torch.linalg.inv(covariance + 0.7**2 * torch.eye(5, dtype=torch.float64))
    assert (found.matrix - expected).abs().max() < 0.02


def test_a_number_that_never_changes_gets_no_weight_and_comes_back():
    x = table()
    x[:, 2] = 0.0
    model = denoiser("masking", 0.5)
    found = linear_denoiser.fit(model, x, Noise(0))
    assert found.matrix.isfinite().all() and found.matrix[:, 2].abs().max() < 1e-6
    assert found.denoise(model.corrupt(x, Noise(1)))[:, 2].abs().max() < 1e-6


def test_no_rows_cannot_be_fitted():
    with pytest.raises(DataError, match="no rows to fit a linear denoiser on"):
        linear_denoiser.fit(denoiser("gaussian", 0.5), table(0), Noise(0))


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


# denoising, as evaluate and compare write it


def test_every_denoiser_has_three_levels_beside_the_linear_one_twice_the_same(compared, tmp_path):
    rows = compared["denoising"]
    assert [(row["run"], row["factor"]) for row in rows] == [
        (key, factor) for key in ("denoising_ae-digits", "denoising_ae-two_moons") for factor in (0.5, 1.0, 2.0)
    ]
    for row in rows:
        assert row["level"] == row["factor"] * 0.5
        assert 0 < row["wiener"] < row["noisy"] and row["denoised"] > 0
        assert row["gain"] == pytest.approx(row["wiener"] - row["denoised"])
    for row in rows[1:3]:
        assert row["denoised"] < row["noisy"]
    written = files(paths.out("compare", "denoising"))  # test_comparison.py runs compare again
    assert set(written) == {"scores.json", "denoised-denoising_ae-digits.png"}
    torch.manual_seed(1)  # global generators have no say
    again = [row for key in RUNS for row in denoising_errors(open_trained(params().run(key)), SEED, tmp_path)]
    assert again == rows
    assert files(tmp_path).items() <= written.items()


def test_the_error_of_noise_is_the_clipped_noises(compared):
    row = next(row for row in compared["denoising"] if row["run"] == "denoising_ae-digits" and row["factor"] == 1.0)
    x = open_data("digits").rows("test").double().numpy()
    noise = 0.5 * 17 * np.random.default_rng(0).standard_normal((40, *x.shape))
    expected = np.square((np.clip(x + noise, 0, 16) - x) / 16).mean()
    assert row["noisy"] == pytest.approx(expected, rel=0.05)  # 17,000 numbers


# denoise, the command


def test_rows_come_back_as_the_model_denoises_them(project, tmp_path, capsys):
    trained = open_trained(params().run("denoising_ae-digits"))
    x = trained.model.corrupt(trained.data.rows("test")[:7], Noise(0))
    np.save(tmp_path / "noisy.npy", x.numpy())
    model = str(paths.out("train", "denoising_ae-digits", "checkpoint"))
    denoise.main([model, f"{tmp_path}/noisy.npy", "--output", f"{tmp_path}/clean.npy"])
    assert "7 rows of 1x8x8" in capsys.readouterr().out
    with torch.no_grad():
        expected = trained.model.denoise(x)
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "clean.npy")), expected)
    denoise.main([model, f"{tmp_path}/noisy.npy"])
    assert "warning" not in capsys.readouterr().err
    np.save(tmp_path / "unit.npy", trained.data.rows("test")[:7].numpy() / 16)
    denoise.main([model, f"{tmp_path}/unit.npy", "--output", f"{tmp_path}/dark.npy"])
    assert "this model takes grey levels 0 .. 16; multiply pixels of 0 .. 1 by 16" in capsys.readouterr().err
    denoise.main([model, f"{tmp_path}/noisy.npy"])
    assert len(capsys.readouterr().out.splitlines()) == 8, "a header and a line a row"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("ae-digits digits.npy", "Autoencoder was not trained to undo a corruption; .* model.corruption: gaussian"),
        ("gmm-two_moons digits.npy", "GaussianMixture was not trained to undo a corruption"),
        ("denoising_ae-digits none.npy", "none.npy: no such file"),
        (
            "denoising_ae-digits moons.npy",
            r"moons.npy: rows of 2 numbers, but this model takes images of 1x8x8: give a folder of images",
        ),
        ("denoising_ae-digits nan.npy", r"nan.npy, row 0: number 3: nan"),
        ("denoising_ae-digits digits.npy --output clean.png", "ends with .npy, .csv, .parquet"),
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


@pytest.mark.parametrize("verb", ["denoise", "compress"])
def test_a_verb_means_one_thing_and_without_arguments_is_a_usage_error(project, verb):
    with pytest.raises(SystemExit, match="2"):
        cli._main([verb])
    with pytest.raises(GenModelsError):
        cli._main([verb, "no/such/model", "no-such-file.npy", *(["--output", "x.gmc"] if verb == "compress" else [])])
    with pytest.raises(SystemExit, match="2"):
        cli._main([verb, "--no-such-option"])


# compression: principal components and pictures


def test_principal_components_of_fewer_rows_than_numbers_rebuild_every_row():
    """The rows lie in the space of the components, as many as rows less one, and the largest variance comes first."""
    x = torch.randn(9, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = principal.fit(x, torch.ones(40, dtype=torch.float64))
    directions, y = model.directions, x - x.mean(dim=0)
    torch.testing.assert_close(y @ directions.T @ directions, y)
    variances = (y @ directions.T).square().mean(dim=0)
    assert (variances.diff() <= 1e-12).all()


def test_principal_components_lose_the_variance_of_the_directions_that_are_left_out():
    x = table()
    model = principal.fit(x, torch.full((5,), 2.0, dtype=torch.float64)).first(2)
    with torch.no_grad():
        lost = ((model.decode(model.encode(x)) - x) / 2).square().sum(dim=1).mean()
    eigenvalues = np.linalg.eigvalsh(np.cov(x.numpy().T, bias=True) / 4)
    assert lost.item() == pytest.approx(eigenvalues[:3].sum())
    with pytest.raises(DataError, match="no rows to take principal components of"):
        principal.fit(table(0), torch.ones(5))


def test_pca_goes_through_the_codec_and_comes_back_within_a_cell():
    x = table().float()
    model = principal.fit(x, torch.ones(5))
    file = latents.compress(model, x, model.even_grid(0.5))
    back = latents.decompress(model, container.parse(file.as_bytes(), "file"))
    error = (back - x).square().mean().item()
    assert error == pytest.approx(0.5**2 / 12, rel=0.1), "of a uniform error, as all components are kept"


@pytest.mark.parametrize("shape", [(7, 1, 8, 8), (10, 3, 5, 4), (1, 1, 3, 3)])
def test_a_mosaic_comes_apart_into_its_tiles(shape):
    tiles = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(png_and_jpeg.tiles_of(png_and_jpeg.mosaic(tiles), shape), tiles)


def test_jpeg_of_high_quality_loses_little_and_of_low_quality_is_small():
    x = torch.arange(17.0).repeat(5, 8)[:, :64].reshape(5, 1, 8, 8)
    (small, rough), (large, fine) = (png_and_jpeg.jpeg(x, 17, quality) for quality in (5, 100))
    assert len(small) < len(large)
    assert (fine - x).abs().max() < 0.2 < (rough - x).abs().max()


def test_the_front_holds_what_nothing_beats():
    points = [(10, 5.0), (12, 5.0), (12, 4.0), (20, 4.5), (30, 1.0)]
    front = compression_baselines.front_of([{"bytes": size, "mse": mse} for size, mse in points])
    assert [(row["bytes"], row["mse"]) for row in front] == [(10, 5.0), (12, 4.0), (30, 1.0)]


# compression, as evaluate, baselines and compare write it


@pytest.fixture(scope="module")
def compressed(compared):
    return compared["compression"]


def test_every_codec_is_measured_beside_the_baselines_twice_the_same(compressed):
    found = {}
    for row in compressed:
        found.setdefault((row["run"], row["data"]), []).append(row["method"])
        assert row["bytes_a_row"] == row["bytes"] / row["rows"]
        assert row["bits_per_dim"] == pytest.approx(8 * row["bytes_a_row"] / row["dims"])
    digits = {run: methods for (run, data), methods in found.items() if data == "digits"}
    assert set(digits.pop("pca")) == {"latents"}
    assert digits == {
        "jpeg": ["jpeg"] * len(compression_baselines.QUALITIES), "png": ["png"],
        "denoising_ae-digits": ["latents"] * 3, "ae-digits": ["latents"] * 3,
        "vae-digits": ["bits_back"] + ["latents"] * 3, "vq_vae-digits": ["codes"] * 2,
    }  # fmt: skip
    moons = {run for run, data in found if data == "two_moons"}
    assert moons == {"pca", "denoising_ae-two_moons"}, "numbers are no pictures, and a mixture has no bottleneck"
    written = files(paths.out("compare", "compression"))
    assert set(written) == {"scores.json", "rates-digits.png", "rates-two_moons.png"}
    torch.manual_seed(1)
    for key in RUNS:
        again = compression_rates(open_trained(params().run(key)), SEED)
        assert again == [row | {"mse_pca": None, "mse_jpeg": None} for row in compressed if row["run"] == key]
    for name in DATA:
        baselines.main([name])
    compare.main([])
    assert files(paths.out("compare", "compression")) == written


@pytest.mark.parametrize(
    ("run", "setting", "options"),
    [
        ("vq_vae-digits", "table empirical", []),
        ("vq_vae-digits", "table prior", ["--table", "prior"]),
        ("ae-digits", "step 0.5", ["--step", "0.5", "--reference", "train.npy"]),
        ("vae-digits", "without loss", ["--seed", "3"]),
    ],
)
def test_the_bytes_are_those_of_the_commands_own_file(compressed, tmp_path, run, setting, options):
    row = next(row for row in compressed if (row["run"], row["setting"]) == (run, setting))
    data = open_data("digits")
    np.save(tmp_path / "rows.npy", data.x("test")[:COMPRESSED_ROWS])
    np.save(tmp_path / "train.npy", data.x("train"))
    options = [str(tmp_path / word) if word.endswith(".npy") else word for word in options]
    model, file = str(paths.out("train", run, "checkpoint")), tmp_path / "rows.gmc"
    compress.main([model, f"{tmp_path}/rows.npy", "--output", str(file), *options])
    own = len(container.read(file).as_bytes())
    array = len(json.dumps(container.read(file).header.get("array"), separators=(",", ":")))
    beside = len(',"array":') + array if setting == "without loss" else 0  # the command notes the .npy's type
    assert row["bytes"] == own - beside == file.stat().st_size - beside
    decompress.main([model, str(file), "--output", f"{tmp_path}/back.npy"])
    back, x = np.load(tmp_path / "back.npy").astype(float), data.x("test")[:COMPRESSED_ROWS].astype(float)
    assert row["mse"] == pytest.approx(np.square((np.clip(back, 0, 16) - x) / 16).mean(), rel=1e-5)


def test_bits_back_costs_about_what_the_model_promises_and_loses_nothing(compressed):
    row = next(row for row in compressed if row["method"] == "bits_back")
    assert row["mse"] == 0
    assert row["net"] < row["bits_per_dim"]
    assert row["net"] == pytest.approx(row["elbo"], rel=0.05)


@pytest.mark.parametrize("run", ["ae-digits", "denoising_ae-two_moons"])
def test_a_unit_is_a_difference_of_one_on_the_unit_scale(project, run):
    trained = open_trained(params().run(run))
    x = trained.data.rows("test")[:5]
    torch.testing.assert_close(trained.units(x + compression_baselines.unit_of(trained)), trained.units(x) + 1)


@pytest.mark.parametrize("who", ["pca", "jpeg"])
def test_the_error_beside_a_models_is_that_of_a_file_which_is_no_larger(compressed, who):
    front = [row for row in compressed if (row["run"], row["data"]) == (who, "digits")]
    assert front
    for row in (row for row in compressed if row["data"] == "digits" and row["run"] in RUNS):
        fits = [other["mse"] for other in front if other["bytes"] <= row["bytes"]]
        assert row[f"mse_{who}"] == (min(fits) if fits else None)
