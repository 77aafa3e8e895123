"""Toys follow the density that they state; factors are what their images show; collections have their pinned bytes."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from scipy.stats import kstest

from gen_models.errors import DataError, GenModelsError
from gen_models.noise import Noise
from pipelines.config.conf_files import data_conf
from pipelines.data.densities import LOG_DENSITIES
from pipelines.data.source_table import SOURCES
from pipelines.data.sources import factors, mnist, plane
from pipelines.data.sources.gaussians import MIXTURES

# name: (points, low, high) of the grid in each direction
LINES = {"gmm_1d": (20_000, -8, 6), "bimodal": (20_000, -7, 7), "uniform": (20_000, 0, 1), "beta_5_5": (20_000, 0, 1)}
PLANES = {"gmm_2d": (601, -7, 7), "8gaussians": (401, -6, 6), "checkerboard": (820, -4.1, 4.1), "rings": (801, -4, 4)}
NARROW = {"ring8": (1001, -1.1, 1.1), "grid25": (901, -4.5, 4.5)}
ENTROPIES = {"checkerboard": 3.466, "8gaussians": 2.832, "uniform": 0.0}
ROWS = 20_000


def grid(name):
    """(points, volume of a cell): the middles of the cells of a grid that the density fits into."""
    count, low, high = {**LINES, **PLANES, **NARROW}[name]
    width = (high - low) / count
    middles = low + (np.arange(count) + 0.5) * width
    if name in LINES:
        return middles[:, None], width
    return np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1).reshape(-1, 2), width**2


def integral(log_p, values, cell):
    p = np.exp(log_p)
    return float((p * np.where(p > 0, values, 0)).sum() * cell)


@pytest.mark.parametrize("name", [*LINES, *PLANES, *NARROW])
def test_a_toy_s_density_integrates_to_one_and_its_draws_have_its_entropy(name):
    points, cell = grid(name)
    log_p = LOG_DENSITIES[name](points)
    assert integral(log_p, 1.0, cell) == pytest.approx(1, abs=1e-5)
    entropy = -integral(log_p, log_p, cell)
    if name in ENTROPIES:
        assert entropy == pytest.approx(ENTROPIES[name], abs=5e-4)
    drawn = LOG_DENSITIES[name](SOURCES[name](Noise(0), rows=ROWS).x)
    assert np.isfinite(drawn).all()
    assert -drawn.mean() == pytest.approx(entropy, abs=4 * drawn.std() / np.sqrt(ROWS) + 1e-9)


@pytest.mark.parametrize("name", [*LINES, *PLANES])
def test_a_toy_s_draws_have_its_marginals(name):
    points, cell = grid(name)
    p = np.exp(LOG_DENSITIES[name](points)) * cell
    x = SOURCES[name](Noise(1), rows=ROWS).x
    count, low, high = {**LINES, **PLANES}[name]
    edges = np.linspace(low, high, count + 1)
    for axis in range(x.shape[1]):
        mass = p.reshape((count,) * x.shape[1])
        marginal = mass if x.shape[1] == 1 else mass.sum(axis=1 - axis)
        cumulative = np.concatenate([[0], marginal.cumsum()])
        assert kstest(x[:, axis], lambda v, c=cumulative: np.interp(v, edges, c)).pvalue > 1e-4


@pytest.mark.parametrize("name", sorted(MIXTURES))
def test_a_mixture_s_labels_are_its_components(name):
    mixture = MIXTURES[name]
    arrays = mixture.draw(Noise(0), rows=ROWS)
    assert np.bincount(arrays.y) / ROWS == pytest.approx(mixture.weights, abs=4 * np.sqrt(0.25 / ROWS))
    for k, mean in enumerate(mixture.means):
        mine = arrays.x[arrays.y == k].astype(np.float64)
        spread = mixture.factors[k] @ mixture.factors[k].T
        assert mine.mean(axis=0) == pytest.approx(mean, abs=5 * np.sqrt(spread.max() / len(mine)))
        assert np.allclose(np.cov(mine.T).reshape(spread.shape), spread, atol=0.2 * spread.max())


def test_the_pinwheel_s_arms_are_turned_copies_of_one_another():
    arrays = plane.pinwheel(Noise(0), rows=ROWS)
    centres = np.array([arrays.x[arrays.y == k].mean(axis=0) for k in range(plane.ARMS)])
    angles = np.unwrap(np.arctan2(centres[:, 1], centres[:, 0]))
    assert np.diff(angles) == pytest.approx(-2 * np.pi / plane.ARMS, abs=0.02)
    assert np.linalg.norm(centres, axis=1) == pytest.approx(np.linalg.norm(centres[0]), abs=0.02)
    assert "pinwheel" not in LOG_DENSITIES


@pytest.mark.parametrize("name", [*LINES, *PLANES, *NARROW, "pinwheel", "factors"])
def test_a_toy_is_a_function_of_its_seed(name):
    first, again, other = (SOURCES[name](Noise(seed), rows=50) for seed in (0, 0, 1))
    assert np.array_equal(first.x, again.x)
    assert not np.array_equal(first.x, other.x)


# --- factors


@pytest.fixture(scope="module")
def rendered():
    return factors.factors(Noise(0), rows=3000)


def test_every_image_differs_and_lies_inside(rendered):
    assert len(np.unique(rendered.x.reshape(3000, -1), axis=0)) == 3000
    assert rendered.x.max() == 255
    areas = rendered.x.sum(axis=(1, 2, 3), dtype=float) / rendered.factors.values[:, 1] ** 2
    for shape in range(3):  # nothing is cut off at the image's edge
        assert areas[rendered.y == shape].min() > 0.93 * areas[rendered.y == shape].max()


def test_a_place_moves_the_image_and_a_scale_its_area():
    values = np.array([[1.0, 6.0, 0.3, 14.0, 16.0]])
    still, across, down = (factors.render(values + np.array([0, 0, 0, *step]))[0] for step in ((0, 0), (3, 0), (0, 2)))
    assert np.array_equal(np.roll(still, 3, axis=1), across)
    assert np.array_equal(np.roll(still, 2, axis=0), down)
    for shape in range(3):
        areas = [factors.render(np.array([[shape, r, 0.0, 16.0, 16.0]]))[0].sum() / r**2 for r in (4.25, 8.5)]
        assert areas[0] == pytest.approx(areas[1], rel=0.03)


def test_an_angle_turns_the_image_and_no_turn_leaves_it(rendered):
    for shape in range(3):
        turned = factors.render(np.array([[shape, 8.0, angle, 16.0, 16.0] for angle in (0, np.pi / 2)]))
        assert np.abs(np.rot90(turned[0].astype(int), -1) - turned[1]).max() <= 1
        all_angles = factors.render(np.array([[shape, 4.25, angle, 16.0, 16.0] for angle in factors.ANGLES]))
        assert len(np.unique(all_angles.reshape(len(all_angles), -1), axis=0)) == len(factors.ANGLES)


def test_factor_values_render_to_their_rows(rendered):
    again = factors.render(rendered.factors.values.astype(np.float64))
    assert np.abs(again.astype(int) - rendered.x[:, 0]).max() <= 1  # values are stored in float32
    assert np.array_equal(rendered.factors.values[:, 0], rendered.y)


def test_no_more_rows_than_there_are_images():
    with pytest.raises(GenModelsError, match="92161 rows are more than the 92160 that differ"):
        factors.factors(Noise(0), rows=92_161)


# --- MNIST and its kin


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A collection of eight images, its files in a folder, its mirrors unreachable."""
    rng = np.random.default_rng(0)
    content = {}
    for part, rows in (("train", 6), ("t10k", 2)):
        content[f"{part}-images-idx3-ubyte"] = idx_bytes(rng.integers(0, 256, (rows, 28, 28)).astype(np.uint8))
        content[f"{part}-labels-idx1-ubyte"] = idx_bytes((np.arange(rows) % 10).astype(np.uint8))
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    collection = mnist.Collection("mnist", (), ("https://mirror.example/",), mnist.MNIST.classes, hashes)
    monkeypatch.setattr(mnist, "MNIST", collection)
    monkeypatch.setattr(mnist, "BYTES", {name: len(data) for name, data in content.items()})
    monkeypatch.setattr(mnist, "_download", refuse)
    monkeypatch.delenv(mnist.VARIABLE, raising=False)
    (tmp_path / "params.yaml").write_text("")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    return content


def refuse(url):
    raise OSError("unreachable")


def write(folder, content, *, packed):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("where", ["option", "variable", "variable/mnist"])
def test_a_collection_is_found_where_its_user_says_packed_or_not(small, tmp_path, monkeypatch, packed, where):
    folder = tmp_path / "in a földer"
    write(folder / "mnist" if where.endswith("mnist") else folder, small, packed=packed)
    if where != "option":
        monkeypatch.setenv(mnist.VARIABLE, str(folder))
    arrays = mnist.mnist(Noise(0), **({"folder": str(folder)} if where == "option" else {}))
    assert arrays.x.shape == (8, 1, 28, 28)
    assert arrays.x[:6].tobytes() == small["train-images-idx3-ubyte"][16:]
    assert arrays.parts["test"].tolist() == [6, 7]


def test_where_it_is_not_the_line_says_where_it_was_looked_for_and_what_to_do(small, tmp_path, monkeypatch):
    monkeypatch.setenv(mnist.VARIABLE, str(tmp_path))
    with pytest.raises(DataError) as caught:
        mnist.mnist(Noise(0))
    line = str(caught.value)
    assert "\n" not in line
    for part in (str(tmp_path), "train-images-idx3-ubyte(.gz)", "mirror.example", "unreachable", "set GEN_MODELS_DATA"):
        assert part in line


def test_a_mirror_s_bytes_are_kept_if_they_are_the_pinned_ones(small, tmp_path, monkeypatch):
    asked = []

    def serve(url):
        asked.append(url)
        return gzip.compress(small[url.rpartition("/")[2].removesuffix(".gz")])

    monkeypatch.setattr(mnist, "_download", serve)
    first = mnist.mnist(Noise(0))
    assert len(asked) == 4
    assert np.array_equal(mnist.mnist(Noise(0)).x, first.x)
    assert len(asked) == 4  # the second time from what was kept
    assert len(list((tmp_path / "work" / "downloads" / "mnist").iterdir())) == 4


@pytest.mark.parametrize("served", [b"", b"<html>", gzip.compress(b"other"), gzip.compress(bytes(10**8))])
def test_a_mirror_s_other_bytes_are_not(small, tmp_path, monkeypatch, served):
    monkeypatch.setattr(mnist, "_download", lambda url: served)
    with pytest.raises(DataError, match=r"nor could it be had from https://mirror.example/ \("):
        mnist.mnist(Noise(0))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:-1] + b"\xff"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_file_of_other_bytes_is_named(small, tmp_path, packed, damage):
    write(
        tmp_path / "data", {**small, "t10k-images-idx3-ubyte": damage(small["t10k-images-idx3-ubyte"])}, packed=packed
    )
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.*: expected the sha256 of mnist, [0-9a-f]{64}, found"):
        mnist.mnist(Noise(0), folder=str(tmp_path / "data"))


@pytest.mark.parametrize("folder", ["nowhere", 3])
def test_a_folder_that_is_none_is_refused(small, folder):
    with pytest.raises(GenModelsError, match=r"options\.folder: .* is not a folder"):
        mnist.mnist(Noise(0), folder=folder)


def test_the_variable_names_a_folder(small, monkeypatch):
    monkeypatch.setenv(mnist.VARIABLE, "/nowhere")
    with pytest.raises(GenModelsError, match="GEN_MODELS_DATA=/nowhere: no such folder"):
        mnist.mnist(Noise(0))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_official_test_rows_stay_the_test_split(name):
    assert data_conf(name)["split"] == {"train": 0.88, "validation": 0.1, "calibration": 0.02, "test": "own"}
