"""gen_models without a pipeline: what `fit`, `save`, `load` and the questions promise, and the page that shows them."""

import importlib
import re
import subprocess
import sys

import jaxtyping
import numpy as np
import pytest
import torch
import yaml
from torch import nn

import gen_models
from gen_models import checkpoint, decode, encode, engine, fit, load, reconstruct, sample, save, score
from gen_models.autoencoders import VAE, VQVAE, Autoencoder
from gen_models.contracts import Encoder, Sampler
from gen_models.engine import Training
from gen_models.errors import CheckpointError, ConfigError, GenModelsError
from gen_models.flows import AffineFlow, RealNVP
from gen_models.loader import Batches
from gen_models.mixtures import GaussianMixture
from gen_models.noise import Noise
from gen_models.rebuildable import spec_of
from tests.models import ROWS, TINY_VQ, data_of
from tests.project import HERE

FAMILIES = ("mixtures", "flows", "autoencoders", "adversarial")
ONE_OF_A_CLASS = list({row.model: row for row in reversed(ROWS)}.values())
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2)) @ [[2.0, 1.0], [0.0, 0.5]] + [5.0, -3.0]
LATE = np.array([0, 1.7e9])  # a column of seconds
DIGITS = RNG.integers(0, 17, size=(40, 1, 4, 4))


def flow(**arguments) -> RealNVP:
    torch.manual_seed(0)
    return RealNVP([2], None, **{"couplings": 2, "hidden": [4], **arguments})


def colours() -> VAE:
    return VAE([3, 4, 4], 17, latent=2, hidden=[8], sigma=0.1)


def vae() -> VAE:
    torch.manual_seed(0)
    return VAE([1, 4, 4], 17, latent=2, hidden=[8], sigma=0.1)


def assert_same(one: nn.Module, other: nn.Module) -> None:
    assert type(one) is type(other)
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert a.dtype == b.dtype and torch.equal(a, b), name


# What is exported


def test_importing_the_package_imports_no_torch():
    code = "import sys, gen_models.flows as f; dir(f); dir(sys.modules['gen_models']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_class_that_a_conf_names_is_exported_by_its_family():
    for path in (HERE / "conf" / "model").glob("*.yaml"):
        module, _, name = yaml.safe_load(path.read_text())["model"]["_target_"].rpartition(".")
        family = importlib.import_module(module.rpartition(".")[0])
        assert getattr(family, name) is getattr(importlib.import_module(module), name), path.name


@pytest.mark.parametrize("package", ["gen_models", *(f"gen_models.{family}" for family in FAMILIES)])
def test_a_star_import_gives_what_the_stub_names(package):
    names: dict[str, object] = {}
    exec(f"from {package} import *", names)
    stub = (HERE / package.replace(".", "/") / "__init__.pyi").read_text()
    assert set(re.findall(r" as (\w+)$", stub, re.MULTILINE)) == set(names) - {"__builtins__"}
    with pytest.raises(AttributeError, match=f"{package}.*'Nothing'"):
        _ = importlib.import_module(package).Nothing


# fit


def test_fit_is_the_engine_after_the_warm_start():
    by_hand = flow()
    x = torch.from_numpy(X).float()
    with torch.no_grad():
        by_hand.warm_start(x, Noise(3))
    optimiser = torch.optim.Adam(by_hand.parameters(), lr=1e-2, fused=True)
    list(engine.fit(Training(by_hand, {"likelihood": optimiser}), Batches(x, 16, 3), Noise(3), steps=9, report_every=3))
    model, history = fit(flow(), X, steps=9, batch=16, lr=1e-2, seed=3, report_every=3)
    assert_same(model, by_hand)
    assert [report.step for report in history] == [3, 6, 9] and not model.training


def test_two_fits_with_one_seed_are_equal_and_with_another_not():
    fits = [fit(vae(), DIGITS, steps=5, batch=16, seed=seed).model for seed in (1, 1, 2)]
    assert_same(fits[0], fits[1])
    assert not torch.equal(next(fits[0].parameters()), next(fits[2].parameters()))


@pytest.mark.parametrize(
    "x",
    [
        DIGITS.astype("float32"),
        DIGITS.astype("uint8"),
        DIGITS.astype("uint16"),
        DIGITS.astype(">f8"),
        DIGITS.astype("int16"),
        DIGITS.tolist(),
        np.asfortranarray(DIGITS.astype(float)),
        torch.from_numpy(DIGITS),
    ],
    ids=["float32", "uint8", "uint16", "big-endian", "int16", "lists", "strides", "tensor"],
)
def test_the_dtype_of_rows_makes_no_difference(x):
    expected = score(fit(vae(), DIGITS.astype(float), steps=2, batch=8).model, DIGITS)
    assert np.array_equal(score(fit(vae(), x, steps=2, batch=8).model, x), expected)


def test_a_mapped_file_is_trained_on_where_it_lies(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr("gen_models.library.fitting.RESIDENT_BYTES", 0)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert_same(fit(flow(), x, steps=3).model, fit(flow(), X, steps=3).model)


def test_a_second_fit_goes_on_from_the_weights_and_starts_anew_only_if_told(tmp_path):
    model = fit(flow(), X, steps=2).model
    shift = model.data_scale.shift.clone()
    save(model, tmp_path / "flow")
    for later in (model, load(tmp_path / "flow").requires_grad_(True)):
        assert torch.equal(fit(later, X + 100, steps=1).model.data_scale.shift, shift)
    fit(model, X + 100, steps=1, warm_start=True)
    assert torch.allclose(model.data_scale.shift, shift + 100)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name in ("gan", "vq_vae digits", "gmm full", "ae table")], ids=str
)
def test_a_fit_that_stopped_goes_on_bit_for_bit(tmp_path, row):
    def fresh():
        torch.manual_seed(4)
        return row.model(*row.data, **row.arguments)

    x, how = data_of(row), {"batch": 16, "report_every": 2}
    straight, expected = fit(fresh(), x, steps=7, **how)
    fit(fresh(), x, steps=4, folder=tmp_path / "run", **how)
    resumed, history = fit(fresh(), x, steps=7, folder=str(tmp_path / "run"), **how)
    assert_same(straight, resumed)
    assert history == expected
    assert_same(load(tmp_path / "run"), resumed)


def test_a_fit_refuses_to_go_on_with_something_else(tmp_path):
    folder = tmp_path / "run"
    fit(flow(), X, steps=4, folder=folder)
    for model, x, change, match in [
        (flow(), X, {"seed": 1}, "seed=0, not 1"),
        (flow(), X, {"lr": 0.1}, "lr=0.001, not 0.1"),
        (flow(), X, {"steps": 3}, "at step 4"),
        (flow(), X + 1, {}, "other rows"),
        (flow(couplings=3), X, {}, "couplings=2, not 3"),
        (AffineFlow([2], None), X, {}, "_target_="),
    ]:
        with pytest.raises(CheckpointError, match=match) as caught:
            fit(model, x, **{"steps": 8, "folder": folder, **change})
        assert "\n" not in str(caught.value)
    assert_same(load(folder), fit(flow(), X, steps=4).model)


def test_a_game_takes_rates_or_optimisers_by_the_names_of_its_players():
    (row,) = [row for row in ROWS if row.name == "gan"]
    gan = row.model(*row.data, **row.arguments)
    still = [p.clone() for p in gan.generator.parameters()]
    fit(gan, X, steps=4, lr={"critic": 1e-3, "generator": 1e-12})
    assert all(torch.allclose(p, q, atol=1e-9) for p, q in zip(gan.generator.parameters(), still, strict=True))
    sgd = {"critic": torch.optim.SGD(gan.critic.parameters(), lr=0.1), "generator": None}
    with pytest.raises(ConfigError, match="did you mean 'critic'"):
        fit(gan, X, steps=4, lr={"critc": 1e-3})
    with pytest.raises(ConfigError, match="unknown objective 'generator'"):
        fit(gan, X, steps=4, optimisers={"critic": sgd["critic"]})
    with pytest.raises(ConfigError, match=r"optimisers\['generator'\] does not hold"):
        fit(gan, X, steps=4, optimisers={"critic": sgd["critic"], "generator": sgd["critic"]})


# save and load


@pytest.mark.parametrize("row", ONE_OF_A_CLASS, ids=str)
def test_what_is_loaded_is_what_was_saved_bit_for_bit(tmp_path, row):
    model = row.model(*row.data, **row.arguments)
    x = data_of(row)
    with torch.no_grad():
        model.warm_start(x.float(), Noise(0))
    save(model, tmp_path / "model")
    loaded = load(str(tmp_path / "model"))
    assert_same(model, loaded)
    assert spec_of(loaded) == spec_of(model)
    if isinstance(model, Sampler):
        assert np.array_equal(sample(model, 3), sample(loaded, 3))
    if isinstance(model, Encoder):
        assert np.array_equal(encode(model, x), encode(loaded, x))


def test_a_model_in_float64_stays_so(tmp_path):
    model = fit(flow().double(), X, steps=3).model
    save(model, tmp_path / "flow")
    assert_same(model, load(tmp_path / "flow"))
    assert score(load(tmp_path / "flow"), X).dtype == np.float64


def test_a_run_of_the_pipeline_loads_by_its_folder(tmp_path):
    spec = {"_target_": "gen_models.flows.affine_flow.AffineFlow", "event_shape": [2], "levels": None}
    model = AffineFlow([2], None)
    checkpoint.save_model(tmp_path / "run" / "checkpoint", spec, model, data={"sha256": "0"})
    assert_same(load(tmp_path / "run"), model)


class Own(AffineFlow):
    """A model of somebody else's module."""

    def __init__(self, event_shape, levels, *, tag: object = None, **others):
        super().__init__(event_shape, levels, **others)
        self.tag = tag


def test_a_class_of_ones_own_is_filled_and_never_built_from_a_file(tmp_path):
    own = fit(Own([2], None, tag=[1]), X, steps=3).model
    save(own, tmp_path / "own")
    with pytest.raises(ConfigError, match="outside the roots"):
        load(tmp_path / "own")
    filled = load(tmp_path / "own", into=Own([2], None, tag=(np.int64(1),)))
    assert_same(own, filled)
    with pytest.raises(CheckpointError, match=r"tag=\[1\], not 2"):
        load(tmp_path / "own", into=Own([2], None, tag=2))


def test_what_cannot_be_saved_is_one_line(tmp_path):
    for model, match in [
        (nn.Linear(2, 2), "does not know its arguments"),
        (Own([2], None, tag=nn.ReLU()), "tag is a ReLU"),
    ]:
        with pytest.raises(ConfigError, match=match):
            save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_save_replaces_a_checkpoint_and_nothing_else(tmp_path):
    folder = tmp_path / "mine"
    save(flow(), folder)
    save(AffineFlow([2], None), folder)
    assert isinstance(load(folder), AffineFlow)
    (folder / "notes.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for path in (folder, tmp_path, tmp_path / "file"):
        with pytest.raises(CheckpointError, match=r"holds|is a file"):
            save(flow(), path)
        with pytest.raises(CheckpointError):
            fit(flow(), X, steps=1, folder=path)
    assert (folder / "notes.txt").read_text() == (tmp_path / "file").read_text() == "dear"
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load(tmp_path / "nowhere")


# Questions


def test_questions_agree_with_the_model():
    model = fit(
        Autoencoder([5], None, latent=2, hidden=[8]), RNG.normal(size=(50, 5)) * [1, 1, 1, 9, 9], steps=20
    ).model
    x = RNG.normal(size=(7, 5)) * [1, 1, 1, 9, 9]
    assert np.array_equal(decode(model, encode(model, x)), reconstruct(model, x))
    errors = ((reconstruct(model, x) - x) / model.data_scale.scale.numpy()) ** 2
    assert np.allclose(score(model, x), errors.sum(axis=1), rtol=1e-4)
    assert score(model, x, "latent_mahalanobis", reference=x).shape == (7,)


def test_sorted_training_rows_are_as_good_a_reference_as_shuffled_ones():
    """typicality is the distance to the mean nll of 1,000 training rows; the first of sorted rows would be alike."""
    x = RNG.normal(size=(4000, 2))
    model = fit(AffineFlow([2], None), x, steps=1).model
    ordered = x[np.argsort(np.square(x).sum(axis=1))]
    found = [score(model, x[:9], "typicality", reference=rows) for rows in (x, ordered)]
    assert np.abs(found[0] - found[1]).max() < 0.15, "five standard errors of a mean of 1,000 rows"


def test_a_training_that_goes_on_from_step_0_does_not_start_anew(tmp_path):
    def vq() -> VQVAE:
        torch.manual_seed(0)
        return VQVAE([1, 8, 8], 17, **TINY_VQ)

    x = RNG.integers(0, 17, size=(40, 1, 8, 8))
    straight, _ = fit(vq(), x, steps=2)
    fit(vq(), x, steps=0, folder=tmp_path / "m")
    again, _ = fit(vq(), x, steps=2, folder=tmp_path / "m")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_fit_without_steps_is_kept_too(tmp_path):
    model, _ = fit(GaussianMixture([2], None, components=2), X, steps=0, folder=tmp_path / "m")
    assert np.array_equal(score(load(tmp_path / "m"), X), score(model, X))
    again, history = fit(GaussianMixture([2], None, components=2), X, steps=4, folder=tmp_path / "m")
    straight, _ = fit(GaussianMixture([2], None, components=2), X, steps=4)
    assert history[-1].step == 4 and np.array_equal(score(again, X), score(straight, X))


def test_far_rows_score_higher_and_samples_depend_on_the_seed_alone():
    model = fit(GaussianMixture([2], None, components=2), X, steps=0).model
    assert score(model, X + 50).min() > score(model, X).max()
    assert np.array_equal(sample(model, 9, seed=5)[:4], sample(model, 4, seed=5))
    assert not np.array_equal(sample(model, 4, seed=6), sample(model, 4, seed=5))
    with pytest.raises(ConfigError, match="has no temperature: it offers density, encoder, sampler"):
        sample(model, 4, temperature=0.5)
    assert sample(flow(), 500, temperature=0.1).std() < 0.2 * sample(flow(), 500).std()


def wrong(x, place, value):
    x = np.array(x, dtype=float)
    x[place] = value
    return x


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda: fit(flow(), wrong(X, (7, 1), np.nan)), r"x\[7, 1\] is nan"),
        (lambda: score(flow(), wrong(X, (3, 0), np.inf)), r"x\[3, 0\] is inf"),
        (lambda: score(flow(), X.astype(complex)), "dtype complex128"),
        (lambda: fit(flow(), [["a", "b"]]), "give real numbers"),
        (lambda: fit(flow(), [[1, 2], [3]]), "not an array|dtype object"),
        (lambda: fit(flow(), X[:, :1]), r"shape \(60, 1\), and the model takes \(rows, 2\)"),
        (lambda: fit(flow(), X[0]), r"shape \(2,\)"),
        (lambda: fit(flow(), X[:0]), "no rows"),
        (lambda: fit(flow(), 3.0), r"shape \(\)"),
        (lambda: score(vae(), DIGITS[:, 0]), r"give x\.reshape\(-1, 1, 4, 4\)"),
        (lambda: score(colours(), np.zeros((5, 4, 4, 3))), r"channels come first; give numpy\.moveaxis\(x, -1, 1\)"),
        (lambda: score(colours(), np.zeros((5, 4, 3, 4))), "give such rows$"),
        (lambda: score(flow(), "rows.npy"), r"load the file first, as with numpy\.load\('rows\.npy'\)"),
        (lambda: decode(flow(), np.full((2, 2), np.nan)), r"z\[0, 0\] is nan"),
        (lambda: fit(flow(), X, optimisers=torch.optim.SGD([torch.zeros(1)])), "is a SGD: give {'likelihood': ...}"),
        (lambda: score(vae(), wrong(DIGITS, (2, 0, 1, 3), 17)), r"x\[2, 0, 1, 3\] = 17, and levels = 17"),
        (lambda: score(vae(), DIGITS / 17), "takes whole numbers 0 .. 16"),
        (lambda: fit(flow(), X + LATE), "number 1 of a row varies by"),
        (lambda: score(AffineFlow([2], ["flag", None]), X), r"x\[0, 0\] = .* a flag"),
        (lambda: score(AffineFlow([2], [{"category": 2}]), np.ones((1, 2))), "of a category must be 1"),
        (lambda: fit(fit(flow(), X, steps=1), X), "model, history = fit"),
        (lambda: score(3, X), "not a int"),
        (lambda: fit(flow().requires_grad_(False), X), "requires_grad_"),
        (lambda: fit(flow(), X, steps=-1), "steps = -1"),
        (lambda: fit(flow(), X, batch=0), "batch = 0"),
        (lambda: fit(flow(), X, lr=0), "lr = 0"),
        (lambda: fit(flow(), X, order="both"), "unknown order of play 'both'"),
        (lambda: score(flow(), X, "nlll"), "did you mean 'nll'"),
        (lambda: score(flow(), X, "typicallity"), "did you mean 'typicality'"),
        (lambda: reconstruct(flow(), X), "cannot reconstruct: it offers density"),
        (lambda: decode(flow(), X[:, :1]), "z has 1 numbers"),
        (lambda: sample(flow(), 0), "n = 0"),
        (lambda: save(flow(), 3), "path = 3"),
        (lambda: VAE([2], None, latent=2, hidden=8), r"hidden = 8 .* such as \[8\]"),
    ],
)
def test_a_wrong_argument_is_one_line(ask, match):
    jaxtyping.config.update("jaxtyping_disable", True)  # as it is outside tests
    with pytest.raises(GenModelsError, match=match) as caught:
        ask()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_table_keeps_what_float32_would_lose():
    x = X + LATE
    model = fit(AffineFlow([2], [None, None]), x, steps=100, lr=0.05).model
    shifted = fit(AffineFlow([2], None), X, steps=100, lr=0.05).model
    assert np.allclose(score(model, x), score(shifted, X), atol=0.1)


# The page


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page: dict[str, object] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (HERE / "docs" / "library.md").read_text(), re.DOTALL):
        exec(compile(block, "docs/library.md", "exec"), page)
    printed = capsys.readouterr().out
    normal, anomalous = map(float, re.search(r"^(-?[\d.]+) (-?[\d.]+)$", printed, re.MULTILINE).groups())
    assert normal < anomalous
    assert "\n2 80\n" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flow", "laplace", "run"]
    named = set(re.findall(r"`(\w+)\(", (HERE / "docs" / "library.md").read_text()))
    assert set(gen_models.__all__) - {"Fitted"} <= named
