"""Laws on a GPU: what is computed there agrees with the CPU, to rounding. `make gpu` runs them; without CUDA they skip.

One law needs no GPU: on the device `meta`, tensors have shapes and no values, and an operation on one of them and a
tensor of the CPU fails. So a model that makes a tensor on the wrong device is found anywhere.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from gen_models import checkpoint
from gen_models.build import build_model, build_optimisers
from gen_models.engine import Training, fit
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.config.compose import compose
from pipelines.data.prepare import main as prepare
from pipelines.runtime import paths
from pipelines.training import play
from pipelines.training.run_log import RunLog
from pipelines.training.task import task_of
from pipelines.training.trainer import train
from tests.models import ROWS, assert_legal, data_of, descend, ready, rows_offering
from tests.project import HERE, make_project, params_of
from tests.test_laws import NOISE, SCORED

NO_GPU = "no GPU that PyTorch can use"
on_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)]
READS = ("item() cannot be called on meta", "Cannot copy out of meta")  # a number is read, to decide or to look up
CLOSE = {"rtol": 1e-6, "atol": 1e-6}  # of float64, whose sums a GPU takes in another order; an ODE stops at tolerances
FAMILIES = ("vae", "realnvp", "wgan", "vq_vae", "gmm")


def gpu_law(function):
    for mark in on_gpu:
        function = mark(function)
    return function


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_loss_its_gradients_and_what_follows_a_step_are_computed_where_the_data_are(row):
    model, x = ready(row).to("meta").train(), data_of(row).to("meta")
    for objective in model.objectives():
        try:
            loss = objective.loss(x, NOISE)
            loss.value.backward(inputs=list(objective.module.parameters()))
            objective.after_step()
        except (RuntimeError, NotImplementedError) as error:
            assert any(words in str(error) for words in READS), error
        else:
            assert loss.value.device.type == "meta"
            assert all(term.device.type == "meta" for term in loss.terms.values())


def test_bfloat16_stays_within_its_tolerance_on_the_cpu_too(monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    for model in ("vae", "realnvp"):
        found = gpu.deviations(model, "cpu", is_compiled=False)["bfloat16"]
        assert 0 < found < gpu.TOLERANCES["bfloat16"], "0: nothing was computed in bfloat16"


@gpu_law
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_step_on_the_gpu_is_that_of_the_cpu(row):
    here, there = ready(row).train(), ready(row).train().to("cuda")
    for ours, theirs in zip(here.objectives(), there.objectives(), strict=True):
        first, second = ours.loss(data_of(row), NOISE), theirs.loss(data_of(row).cuda(), NOISE)
        assert second.value.device.type == "cuda"
        torch.testing.assert_close(second.value.cpu(), first.value, **CLOSE)
        descend(ours, data_of(row), NOISE)
        descend(theirs, data_of(row).cuda(), NOISE)
    for name, value in there.state_dict().items():
        assert value.device.type == "cuda", name
        torch.testing.assert_close(value.cpu(), here.state_dict()[name], rtol=1e-5, atol=1e-5)


@gpu_law
@pytest.mark.parametrize(("row", "score"), SCORED)
def test_a_score_on_the_gpu_is_that_of_the_cpu(row, score):
    found = score(ready(row).cuda(), data_of(row).cuda())
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), score(ready(row), data_of(row)), **CLOSE)


@gpu_law
@pytest.mark.parametrize("row", rows_offering("sampler"), ids=str)
def test_samples_on_the_gpu_are_data_as_stored(row):
    event_shape, levels = row.data
    x = ready(row).cuda().sample(50, NOISE)
    assert (x.device.type, x.shape) == ("cuda", (50, *event_shape))
    assert x.isfinite().all()
    if not isinstance(levels, int | type(None)):
        assert_legal(x.cpu(), levels, data_of(row))


@gpu_law
@pytest.mark.parametrize("model", FAMILIES)
def test_the_engine_on_the_gpu_learns_what_it_learns_on_the_cpu(model, tmp_path, monkeypatch):
    """And its checkpoint is loaded where there is no GPU."""
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    data = "two_moons" if model in ("realnvp", "wgan") else "digits"
    conf = compose(model, data, "quick")
    found = {}
    for device in ("cpu", "cuda"):
        x = gpu.rows_of(conf).to(device)
        network = build_model(conf["model"], 0).to(device)
        with torch.no_grad():
            network.warm_start(x, Noise(0))
        training = Training(network, build_optimisers(conf["optim"], network))
        asked = {"order": conf["order"], "clip_norm": conf["clip_norm"]}
        (report,) = fit(training, Batches(x, 128, 0), Noise(0), steps=10, report_every=10, **asked)
        found[device] = report.terms
        checkpoint.save_model(tmp_path / device, conf["model"], network)
    largest = max(abs(value) for value in found["cpu"].values())
    for name, value in found["cpu"].items():
        assert found["cuda"][name] == pytest.approx(value, rel=1e-2, abs=1e-3 * largest), name
    loaded = checkpoint.load_model(tmp_path / "cuda")
    assert {value.device.type for value in loaded.state_dict().values()} == {"cpu"}
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.cpu()), name


@gpu_law
@pytest.mark.parametrize("model", gpu.DATA)
def test_bfloat16_and_compiled_networks_stay_within_their_tolerances(model, monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    for name, deviation in gpu.deviations(model, "cuda").items():
        assert deviation < gpu.TOLERANCES[name], name


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    budget = {"steps": 60, "trial_steps": 30, "trials": 8, "reports": 3, "checkpoints": 3}
    folder = make_project(
        tmp_path_factory.mktemp("gpu") / "project", params_of({"vae-digits": ("vae", "digits")}), budget
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        patch.delenv("RAY_ADDRESS", raising=False)
        prepare(["digits"])
        yield folder


@gpu_law
def test_a_training_on_the_gpu_that_was_stopped_goes_on(project):
    """On a GPU, sums may be taken in another order: close, not bit for bit."""
    made = compose("vae", "digits", "tiny")
    straight, stopped = (
        task_of(made, paths.out("data", "digits"), seed=0, steps=30, folder=project / "work" / name, is_trial=False)
        for name in ("straight", "stopped")
    )
    list(train(straight, device="cuda"))
    assert next(train(stopped, device="cuda")).is_saved
    list(train(replace(stopped), device="cuda"))
    one, two = (RunLog(Path(task.folder)).history() for task in (straight, stopped))
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for first, second in zip(one, two, strict=True):
        assert second["metrics"] == pytest.approx(first["metrics"], rel=1e-3, abs=1e-4)


@gpu_law
def test_a_sweep_shares_the_gpu_by_fractions_and_its_run_is_trained_and_evaluated(project, monkeypatch, capsys):
    monkeypatch.setattr(play, "prepare", lambda stages: None)
    play.main(["vae-digits"])
    printed = capsys.readouterr()
    assert "sees no GPU" not in printed.err, "jobs fell back to the CPU"
    assert len(list(project.glob("work/sweep/*/trial_*/history.jsonl"))) == 8
    assert list(project.glob("work/evaluate/*/metrics.json"))
