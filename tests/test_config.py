"""Every conf builds; every wrong line of conf or params.yaml is one line that names it, its value and the fix."""

import math
import re

import pytest
import torch
import yaml

from gen_models.build import build_model, build_optimisers
from gen_models.errors import ConfigError
from gen_models.noise import Noise
from pipelines import config, lineage
from pipelines.commands import listing
from pipelines.training.search import settings
from tests.project import HERE, PARAMS, call, make_project

MODELS = sorted(path.stem for path in (HERE / "conf" / "model").glob("*.yaml"))
DATA = sorted(path.stem for path in (HERE / "conf" / "data").glob("*.yaml"))
BUDGETS = sorted(path.stem for path in (HERE / "conf" / "budget").glob("*.yaml"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(folder))
    return folder


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", MODELS)
def test_every_conf_builds_and_takes_a_gradient(model, data, monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    conf = config.compose(model, data, "quick")
    dims = math.prod(conf["data"]["event_shape"])
    no_coupling = dims == 1 and "coupling of 1 dimension"
    no_image = len(conf["data"]["event_shape"]) != 3 and "is no image"
    refused = dict.fromkeys(("realnvp", "nice", "spline_flow"), no_coupling)
    images = ("image_realnvp", "glow", "conv_ae", "conv_vae", "dcgan", "conv_wgan", "vq_vae", "vq_vae2")
    refused |= dict.fromkeys(images, no_image)
    refused |= {"ae": dims <= 8 and "latent = 8"}
    refused |= dict.fromkeys(
        ("bernoulli_vae", "beta_vae", "iwae", "iwae2"), conf["data"]["levels"] is None and "cannot be binarised"
    )
    if cannot := refused.get(model):
        with pytest.raises(ConfigError, match=cannot):  # said, not built
            build_model(conf["model"], seed=0)
        return
    built = build_model(conf["model"], seed=0)
    assert set(build_optimisers(conf["optim"], built)) == {objective.name for objective in built.objectives()}
    x = torch.randint(0, conf["data"]["levels"] or 17, (16, *conf["data"]["event_shape"])).float()
    for objective in built.objectives():
        assert objective.loss(x, Noise(0)).value.requires_grad


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("model", MODELS)
def test_every_setting_that_a_sweep_tries_fits_the_conf(model, budget, monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    conf = config.compose(model, "digits", budget)
    for setting in settings(conf, seed=0):
        config.override(conf, setting)


@pytest.mark.parametrize("data", ["[]", "[uniform]"])
def test_list_names_every_model_whatever_data_are_in_use(project, capsys, data):
    (project / "params.yaml").write_text(
        f"seed: 0\nbudget: quick\nworkers: 1\ndata: {data}\nsweeps: {{}}\nruns: {{}}\n"
    )
    listing.main([])
    printed = capsys.readouterr().out
    assert all(f"\n  {model} " in printed for model in MODELS)


def test_the_published_graph_names_what_exists(monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    params = config.params()
    for line in (*params.sweeps.values(), *params.runs.values()):
        target = config.compose(line.model, line.data, params.budget)["model"]["_target_"]
        assert target.startswith(f"gen_models.{line.family}."), line


def test_stages_depend_on_all_the_code_that_decides_their_result():
    stages = yaml.safe_load((HERE / "dvc.yaml").read_text())["stages"]
    for verb in ("sweep", "train"):
        assert set(lineage.SHARED) <= set(stages[verb]["do"]["deps"]), verb
        assert "gen_models/${item.family}" in stages[verb]["do"]["deps"]
    deps = [dep for stage in stages.values() for dep in stage.get("do", stage)["deps"]]
    for dep in deps:
        if "$" not in dep and not dep.startswith("out"):
            assert (HERE / dep).exists(), dep


def test_no_stage_of_a_flow_depends_on_the_adversarial_code():
    stages = yaml.safe_load((HERE / "dvc.yaml").read_text())["stages"]
    families = ("gen_models/mixtures", "gen_models/flows", "gen_models/autoencoders", "gen_models/adversarial")
    for stage in stages.values():
        for dep in stage.get("do", stage)["deps"]:
            assert not dep.startswith(families)


def test_the_first_trial_is_the_conf_as_it_stands_and_all_are_inside_the_space(project):
    conf = config.compose("vae", "digits", "quick")
    tried = settings(conf, seed=0)
    assert len(tried) == conf["budget"]["trials"]
    assert config.override(conf, tried[0]) == conf
    assert len({tuple(sorted(setting.items())) for setting in tried}) == len(tried)
    for setting in tried[1:]:
        for key, draw in conf["sweep"]["space"].items():
            ((kind, values),) = draw.items()
            if kind == "choice":
                assert setting[key] in values
            else:
                assert values[0] <= setting[key] <= values[1]


def test_the_trials_of_a_sweep_are_a_function_of_the_seed(project):
    conf = config.compose("vae", "digits", "quick")
    assert settings(conf, seed=0) == settings(conf, seed=0) != settings(conf, seed=1)


BAD_MODEL = {  # a change of conf/model/vae.yaml, and the line that it must give
    "batchsize: 3": "unknown key 'batchsize': did you mean 'batch_size'",
    "batch_size: 0": "batch_size: expected a whole number of at least 1, found 0",
    "batch_size: 2.5": "batch_size: expected a whole number of at least 1, found 2.5",
    "batch_size: yes": "batch_size: expected a whole number of at least 1, found True",
    "order: simultanous": "order: unknown value 'simultanous': did you mean 'simultaneous'",
    "keep: beste": "keep: unknown value 'beste': did you mean 'best'",
    "clip_norm: -1": "clip_norm: expected a number above 0, found -1",
    "clip_norm: .nan": "clip_norm: expected a finite number, found nan",
    "optim: {vae: {_target_: torch.optim.Adam, lr: -0.1}}": "optim.vae.lr: expected a number above 0, found -0.1",
    "optim: {vae: {_target_: torch.optim.Adam, lr: .nan}}": "optim.vae.lr: expected a finite number, found nan",
    "optim: {vae: {_target_: torch.optim.Adam, lr: fast}}": "optim.vae.lr: expected a finite number, found 'fast'",
    "optim: {vae: 0.1}": "optim.vae: expected an optimiser",
    "sweep: {spcae: {}}": "sweep: unknown key 'spcae': did you mean 'space'",
    "sweep: {scheduler: ashaa}": "sweep.scheduler: unknown value 'ashaa': did you mean 'asha'",
    "sweep: {space: {model.bta: {choice: [1]}}}": "unknown key to sweep 'model.bta': did you mean 'model.beta'",
    "sweep: {space: {model.beta: {choise: [1]}}}": "unknown value 'choise': did you mean 'choice'",
    "sweep: {space: {model.beta: {choice: []}}}": "choice needs a list of values",
    "sweep: {space: {model.beta: {uniform: [2, 1]}}}": "uniform needs low < high, found [2, 1]",
    "sweep: {space: {model.beta: {loguniform: [0, 1]}}}": "expected a number above 0, found 0",
    "sweep: {space: {model.beta: 3}}": "expected one of choice, uniform, loguniform",
    "budgets: {tiny: {stps: 3}}": "budgets: unknown key 'stps': did you mean 'steps'",
    "budgets: {tiny: {steps: 0}}": "budget.steps: expected a whole number of at least 1, found 0",
    "sweep: {eta: 1}": "sweep.eta: expected a whole number of at least 2, found 1",
    "sweep: {rungs: 0}": "sweep.rungs: expected a whole number of at least 1, found 0",
    "sweep: null": "sweep: expected a mapping, found None",
    "sweep: {space: {batch_size: {choice: [64, 0]}}}": "sweep.space.batch_size: batch_size: expected a whole number",
    "optim: 3": "optim: expected a mapping, found 3",
    "budgets: 3": "budgets: expected {quick: {steps: 800}}, found 3",
    "metric: natz": "metric: unknown value 'natz': did you mean 'nats'",
    "a: [": "expected the node content",
}


@pytest.mark.parametrize("change", BAD_MODEL)
def test_a_wrong_line_of_a_models_conf_is_one_line_with_the_fix(project, change):
    path = project / "conf" / "model" / "vae.yaml"
    key = change.partition(":")[0]
    kept = re.sub(rf"(?ms)^{key}:.*?(?=^\S|\Z)", "", path.read_text())
    path.write_text(kept + "\n" + change + "\n")
    with pytest.raises(ConfigError) as caught:
        config.compose("vae", "digits", "tiny")
    message = str(caught.value)
    assert BAD_MODEL[change] in message and "vae.yaml" in message and "\n" not in message


LINE = {"model": "vae", "family": "autoencoders", "data": "digits"}
BAD_PARAMS = [
    ({"seeed": 1}, "unknown key 'seeed': did you mean 'seed'"),
    ({"seed": -1}, "seed: expected a whole number of at least 0, found -1"),
    ({"seed": "x"}, "seed: expected a whole number"),
    ({"workers": 0}, "workers: expected a whole number of at least 1, found 0"),
    ({"budget": "tinny"}, "unknown budget 'tinny': did you mean 'tiny'"),
    ({"data": ["digitz"]}, "unknown data set 'digitz': did you mean 'digits'"),
    ({"data": ["../digits"]}, "the name '../digits' may hold letters"),
    ({"sweeps": {"a": {**LINE, "model": "vea"}}}, "unknown model 'vea': did you mean 'vae'"),
    ({"sweeps": {"a": {**LINE, "modl": "vae"}}}, "unknown key 'modl': did you mean 'model'"),
    ({"sweeps": {"a": {"model": "vae", "data": "digits"}}}, "the key 'family' is missing"),
    ({"sweeps": {"a": {**LINE, "family": "flow"}}}, "unknown family 'flow': did you mean 'flows'"),
    ({"sweeps": {"a": {**LINE, "data": "two_moons"}}}, "data 'two_moons' is not listed under data:"),
    ({"sweeps": {"a.b": LINE}}, "the name 'a.b' may hold letters, digits, _ and - only"),
    ({"data": None}, "data: expected a list such as [digits], found None"),
    ({"runs": [1]}, "runs: expected KEY: {model, family, data}, found [1]"),
    ({"sweeps": {"a": 3}}, "expected {model, family, data}, found 3"),
    ({"sweeps": {"a/b": LINE}}, "the name 'a/b' may hold letters"),
    ({"sweeps": {"a\nb": LINE}}, "may hold letters"),
    ({"runs": {"a": {**LINE, "setting": "vae-digit"}}}, "unknown sweep 'vae-digit': did you mean 'vae-digits'"),
]


@pytest.mark.parametrize(("change", "line"), BAD_PARAMS, ids=lambda value: str(value)[:40])
def test_a_wrong_line_of_params_is_one_line_with_the_fix(project, change, line):
    (project / "params.yaml").write_text(yaml.safe_dump({**PARAMS, **change}))
    with pytest.raises(ConfigError) as caught:
        config.params()
    assert line in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (("sweep", "vae-digit"), "unknown sweep 'vae-digit': did you mean 'vae-digits'"),
        (("train", "vae-digit"), "unknown run 'vae-digit': did you mean 'vae-digits'"),
        (("prepare", "digitz"), "unknown data set 'digitz': did you mean 'digits'"),
        (("sweep",), "SWEEP"),
        (("train", "a", "b"), "RUN"),
    ],
)
def test_the_command_line_says_it_in_one_line_without_a_traceback(project, command, line):
    done = call(project, "python", "-m", "pipelines.cli", *command)
    assert done.returncode != 0
    assert line in done.stderr and "Traceback" not in done.stderr
    assert not (project / "out").exists()


def test_help_is_quick_to_read_and_names_every_verb(project):
    done = call(project, "python", "-m", "pipelines.cli", "--help")
    assert done.returncode == 0
    for verb in ("prepare", "sweep", "train", "evaluate", "register", "detect", "cluster", "report", "sync", "predict"):
        assert f"\n  {verb}" in done.stdout
