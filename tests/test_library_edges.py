"""gen_models on what scripts and notebooks do at the edges: odd rows, a stop, a second fit, optimisers of one's own."""

import subprocess
import sys
import types

import jaxtyping
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from gen_models import checkpoint, encode, fit, load, sample, save, score
from gen_models.autoencoders import VAE, VQVAE
from gen_models.codecs import bits_back
from gen_models.codecs.container import model_digest
from gen_models.errors import ConfigError, DivergedError, GenModelsError
from gen_models.flows import AffineFlow, RealNVP
from gen_models.mixtures import GaussianMixture
from gen_models.noise import Noise
from gen_models.rebuildable import spec_of
from tests.models import TINY_VQ
from tests.project import HERE

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2)) @ [[2.0, 1.0], [0.0, 0.5]] + [5.0, -3.0]
IMAGES = RNG.normal(size=(20, 3, 8, 8))


def flow(levels=None) -> RealNVP:
    torch.manual_seed(0)
    return RealNVP([2], levels, couplings=2, hidden=[4])


def mixture() -> GaussianMixture:
    torch.manual_seed(0)
    return GaussianMixture([2], None, components=2)


def vae(levels=17, shape=(1, 2, 2)) -> VAE:
    return VAE(list(shape), levels, latent=2, hidden=[4], sigma=0.1)


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# The mark of a model that needs no warm start


def test_a_model_decodes_what_it_encoded_however_it_was_loaded(tmp_path):
    x = torch.from_numpy(RNG.integers(0, 17, size=(6, 1, 2, 2))).float()
    fitted = fit(vae(), x, steps=1).model
    save(fitted, tmp_path / "m")
    models = (fitted, load(tmp_path / "m"), checkpoint.load_model(tmp_path / "m"))
    for one in models:
        compressed, _ = bits_back.compress(one, x, Noise(0))
        assert all(torch.equal(bits_back.decompress(other, compressed), x) for other in models)


def test_a_model_that_was_saved_before_its_first_fit_gets_its_warm_start(tmp_path):
    save(flow(), tmp_path / "m")
    late = fit(load(tmp_path / "m").requires_grad_(True), X, steps=3).model
    assert torch.equal(weights(late), weights(fit(flow(), X, steps=3).model))
    assert torch.equal(late.data_scale.shift, torch.tensor(X).float().mean(dim=0))
    checkpoint.save_model(tmp_path / "run", spec_of(flow()), flow())  # as the pipeline saves: counts as started
    assert torch.equal(
        fit(load(tmp_path / "run").requires_grad_(True), X, steps=1).model.data_scale.shift, torch.zeros(2)
    )


def test_a_fit_that_was_stopped_keeps_its_progress(monkeypatch):
    model, seen = flow(), []

    def stop(window: object) -> None:
        seen.append(weights(model))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gen_models.engine._Window.close", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(model, X, steps=3, report_every=3)
    fit(model, X + 100, steps=1, lr=1e-12)
    assert torch.allclose(weights(model), seen[0], atol=1e-9) and model.data_scale.shift[0] < 50


def test_a_fitted_mixture_is_not_left_as_it_was_in_silence():
    model = fit(mixture(), X, steps=0).model
    with pytest.raises(ConfigError, match="give warm_start=True"):
        fit(model, X + 100, steps=0)
    moved = fit(model, X + 100, steps=0, warm_start=True).model
    assert sample(moved, 50)[:, 0].mean() > 90


def test_a_divergence_advises_arguments_of_fit(tmp_path):
    with pytest.raises(DivergedError, match="model anew and fit it with a smaller lr= or with clip_norm=, in another"):
        fit(vae(), np.full((9, 1, 2, 2), 3), steps=50, lr=1e30, folder=tmp_path / "m")
    with pytest.raises(DivergedError) as caught:
        fit(vae(), np.full((9, 1, 2, 2), 3), steps=50, lr=1e30)
    assert "optim." not in str(caught.value) and "folder" not in str(caught.value)


# Rows


def test_a_row_is_scored_or_refused_whatever_the_other_rows_are():
    x = X + np.array([0.0, 1e4])
    model = fit(flow(), x, steps=1).model
    near = x[0] + np.array([[0.0, 0.0], [0.0, 1e-3]])  # float32 rounds what is as fine, and the model's scale is 1
    alone = np.concatenate([score(model, row[None]) for row in near])
    assert np.allclose(score(model, near), alone, rtol=1e-5)
    assert np.allclose(score(model, np.concatenate([near, x]))[:2], alone, rtol=1e-5)
    fit(model, np.repeat(near, 30, axis=0), steps=1)


def test_what_a_dtype_cannot_hold_is_refused_in_every_block(monkeypatch):
    monkeypatch.setattr("gen_models.library.rows.CHECKED_AT_ONCE", 7)
    x = X.copy()
    x[50, 1] = -1e39
    for ask in (lambda: fit(flow(), x), lambda: score(flow(), x), lambda: encode(flow(), x)):
        with pytest.raises(GenModelsError, match=r"x\[50, 1\] = -1e\+39 is too large, at most 3\.40282e\+38"):
            ask()
    assert np.isfinite(score(flow().double(), x)).all()
    for model in (flow([None, None]), flow().double()):
        with pytest.raises(GenModelsError, match=r"at most 1e\+150"):
            fit(model, x * 1e120)


def test_columns_of_any_dtype_are_numbers():
    table = pd.DataFrame({"a": X[:, 0] > 5, "b": pd.array(np.arange(60), dtype="Int64")})
    model = fit(flow(), table, steps=2).model
    assert np.array_equal(score(model, table), score(model, table.to_numpy(float)))
    table.loc[3, "b"] = pd.NA
    with pytest.raises(GenModelsError, match=r"x\[3, 1\] is nan"):
        score(model, table)
    with pytest.raises(GenModelsError, match="real numbers"):
        score(model, pd.DataFrame({"a": [1.0], "b": ["2"]}))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint8])
def test_levels_beyond_a_small_dtype_are_no_reason_to_refuse_it(dtype):
    x = RNG.integers(0, 128, size=(5, 1, 2, 2))
    for levels in (256, 257, 65536):
        model = vae(levels)
        assert np.array_equal(score(model, x.astype(dtype)), score(model, x))
    with pytest.raises(GenModelsError, match="= 100, and levels = 17"):
        score(vae(), np.full((1, 1, 2, 2), 100, dtype=dtype))


def test_a_table_refuses_what_its_levels_forbid():
    prices = np.arange(1, 200)[:, None] * np.array([[0.01, 1e4]])
    model = fit(flow([0.01, None]), prices, steps=1).model
    assert np.allclose(score(model, prices.astype(np.float32)), score(model, prices), rtol=1e-3)
    assert np.isfinite(score(model, sample(model, 20))).all()
    prices[5, 0] += 0.004
    with pytest.raises(GenModelsError, match=r"x\[5, 0\] = 0.064, and levels takes multiples of 0.01"):
        score(model, prices)


def test_reconstructions_of_continuous_images_are_judged_in_standard_deviations():
    scores = []
    for unit in (1.0, 1000.0):
        torch.manual_seed(0)
        model = fit(VQVAE([3, 8, 8], None, **TINY_VQ), IMAGES * unit, steps=0).model
        scores.append(score(model, IMAGES * unit, "reconstruction"))
    assert np.allclose(*scores, rtol=1e-3)


# Arguments


def test_numbers_of_numpy_are_numbers(tmp_path):
    jaxtyping.config.update("jaxtyping_disable", True)  # as it is outside tests
    one = np.int64(1)
    model = VAE(np.array([4]), np.int64(17), latent=np.int64(2), hidden=np.array([8]), sigma=np.float32(0.5))
    assert spec_of(model)["event_shape"] == [4] and type(spec_of(model)["latent"]) is int
    save(fit(model, np.ones((9, 4)), steps=one, seed=one, lr=np.float32(1e-3)).model, tmp_path / "m")
    assert model_digest(load(tmp_path / "m")) == model_digest(model)
    assert np.array_equal(sample(model, np.int64(3), seed=one), sample(model, 3, seed=1))
    assert np.isfinite(score(AffineFlow([4], [one, None, {"category": np.int64(2)}]), [[2, 0.5, 0, 1]])).all()
    assert np.array_equal(sample(flow(), 3, temperature=np.float32(0.5)), sample(flow(), 3, temperature=0.5))


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda: score(flow(), X, X), "name is a ndarray, not a word: training rows are reference="),
        (lambda: score(flow(), X, "latent_mixture"), "give them as reference="),
        (lambda: score(flow(), np.ma.masked_less(X, 4)), r"masked values: fill them, as with x\.filled\(0\)"),
        (lambda: score(flow(), torch.from_numpy(X).to_sparse()), r"give x\.to_dense\(\)"),
        (lambda: score(flow(), scipy.sparse.csr_array(X)), r"give x\.toarray\(\)"),
        (lambda: score(flow(), [torch.ones(2, requires_grad=True)]), "not an array: .* grad"),
        (lambda: score(vae(), pd.DataFrame(np.zeros((5, 4)))), r"give x\.to_numpy\(\)\.reshape\(-1, 1, 2, 2\)"),
        (lambda: score(vae(), [[0, 0, 0, 0]]), r"give numpy\.array\(x\)\.reshape\(-1, 1, 2, 2\)"),
        (lambda: score(vae(shape=(3, 4, 4)), torch.zeros(5, 4, 4, 3)), r"give x\.movedim\(-1, 1\)"),
        (lambda: score(flow().half(), X), r"torch\.float16, which has too few digits: model\.float\(\) first"),
        (lambda: fit(VQVAE([3, 8, 8], None, **TINY_VQ), IMAGES + 1e10), r"or fit model\.double\(\)$"),
        (lambda: fit(flow(), X, clip_norm=0), "clip_norm = 0"),
        (lambda: fit(flow(), X, clip_norm="a"), "clip_norm = 'a'"),
        (lambda: fit(flow(), X, lr=0.1, optimisers=sgd(flow())), "lr = 0.1 .* leave out lr, or optimisers"),
        (lambda: fit(flow(), X, optimisers={"likelihood": None}), r"optimisers\['likelihood'\] is a NoneType"),
        (lambda: fit(flow(), X, optimisers={"likelihood": lbfgs()}), "is a LBFGS, whose step needs a function"),
    ],
)
def test_a_wrong_argument_is_one_line(ask, match):
    jaxtyping.config.update("jaxtyping_disable", True)  # as it is outside tests
    with pytest.raises(GenModelsError, match=match) as caught:
        ask()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def sgd(model, lr: float = 0.01) -> dict[str, torch.optim.Optimizer]:
    return {"likelihood": torch.optim.SGD(model.parameters(), lr=lr)}


def lbfgs() -> torch.optim.Optimizer:
    return torch.optim.LBFGS(flow().parameters())


def test_an_optimiser_keeps_the_rate_that_its_owner_gave_it(tmp_path):
    model = fit(flow(), X, steps=0).model
    optimisers = sgd(model)
    fit(model, X, steps=5, optimisers=optimisers, schedule="cosine")
    (group,) = optimisers["likelihood"].param_groups
    assert group["lr"] == 0.01
    group["lr"], before = 0.0, weights(model)
    fit(model, X, steps=2, optimisers=optimisers)
    assert torch.equal(weights(model), before) and group["lr"] == 0.0


def test_a_resume_with_an_optimiser_follows_the_schedule_of_the_first_part(tmp_path):
    def run(steps: int, **where) -> torch.Tensor:
        model = flow()
        return weights(
            fit(model, X, steps=steps, optimisers=sgd(model), schedule="cosine", report_every=2, **where).model
        )

    straight = run(6)
    stopped = flow()
    with pytest.MonkeyPatch.context() as patch:
        kept = checkpoint.save_training

        def keep(folder, spec, training, notes):
            kept(folder, spec, training, notes)
            if training.step == 4:
                raise KeyboardInterrupt

        patch.setattr("gen_models.checkpoint.save_training", keep)
        with pytest.raises(KeyboardInterrupt):
            fit(stopped, X, steps=6, optimisers=sgd(stopped), schedule="cosine", report_every=2, folder=tmp_path / "m")
    assert torch.equal(run(6, folder=tmp_path / "m"), straight)


# Folders, modules and devices


def test_load_leaves_the_global_random_numbers_alone(tmp_path):
    save(flow(), tmp_path / "m")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load(tmp_path / "m")
    assert torch.equal(torch.rand(3), expected)


def test_a_class_that_moved_to_a_module_is_found_by_its_name(tmp_path):
    def laplace(module: str, name: str = "Laplace") -> AffineFlow:
        made = types.new_class(name, (AffineFlow,), exec_body=lambda space: space.update(__module__=module))
        return made([2], None)

    save(laplace("__main__"), tmp_path / "m")
    assert load(tmp_path / "m", into=laplace("mine.models")) is not None
    for into in (laplace("__main__", "Cauchy"), AffineFlow([2], None)):
        with pytest.raises(GenModelsError, match=r"holds a model with _target_='__main__\.Laplace'"):
            load(tmp_path / "m", into=into)
    with pytest.raises(ConfigError, match=r"give it as load\(path, into=Laplace\(\.\.\.\)\)"):
        load(tmp_path / "m")


def test_what_a_desktop_leaves_in_a_folder_is_no_other_file(tmp_path):
    (tmp_path / "m").mkdir()
    for steps in (2, 4):
        (tmp_path / "m" / ".DS_Store").touch()
        assert fit(flow(), X, steps=steps, folder=tmp_path / "m").history[-1].step == steps
    (tmp_path / "m" / ".env").touch()
    with pytest.raises(GenModelsError, match=r"holds \.env"):
        save(flow(), tmp_path / "m")


def test_a_device_that_is_not_there_is_said_to_be_so(tmp_path):
    save(flow(), tmp_path / "m")
    device = "mps" if torch.cuda.is_available() else "cuda"
    for wrong in (device, "gpu"):
        with pytest.raises(ConfigError, match=f"device = '{wrong}' cannot be used .*: give device='cpu'"):
            load(tmp_path / "m", device=wrong)


def test_a_family_is_there_after_importing_the_package_alone():
    code = "import gen_models as g; print(g.flows.RealNVP.__name__, g.engine.fit.__name__, hasattr(g, 'nothing'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["RealNVP", "fit", "False"]


def test_a_model_trained_in_a_loop_of_ones_own_goes_on_after_it_was_stored(tmp_path):
    model = GaussianMixture([2], None, components=2)
    model.warm_start(torch.from_numpy(X).double(), Noise(0))
    save(model, tmp_path / "m")
    again = load(tmp_path / "m").requires_grad_(True)
    fit(again, X + 100, steps=1)
    assert abs(sample(again, 200).mean() - X.mean()) < 10
