"""Every conf builds; every wrong line of conf or params.yaml is one line that names it, its value and the fix."""

import math
import re
import shutil
import sys

import pytest
import torch
import yaml
from dvc.utils.serialize import load_yaml
from hypothesis import given
from hypothesis import strategies as st

from gen_models.build import build_model, build_optimisers
from gen_models.contracts import capabilities
from gen_models.errors import ConfigError
from gen_models.noise import Noise
from pipelines import cli
from pipelines.commands import check, listing
from pipelines.config.compose import compose, compose_line, flat, override
from pipelines.config.params import Params, Run, params
from pipelines.lineage.facts import params_of
from pipelines.lineage.fingerprint import ENTRIES, OF_A_MODEL
from pipelines.training.search import settings
from tests.project import HERE, PARAMS, call, make_project, write_params

MODELS = sorted(path.stem for path in (HERE / "conf" / "model").glob("*.yaml"))
DATA = ["uniform", "two_moons", "digits"]  # one number, two, and grey levels of a picture
SHIPPED = re.findall(r"^\| `(\w+)` \|", (HERE / "README.md").read_text(), re.MULTILINE)
# (wrong, right) of a line that offers another name, or another way to write a value
OFFER = re.compile(r"unknown .*?'([^']+)': did you mean '([^']+)'|\b(\S+): PyYAML reads .*?: write ([^\s,]+)")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("config") / "project")


@pytest.fixture
def project(made, monkeypatch):
    """A project folder as it was made: what a test writes into conf and params.yaml is taken back."""
    monkeypatch.setenv("GEN_MODELS_ROOT", str(made))
    kept = {path: path.read_bytes() for path in (made / "params.yaml", *made.glob("conf/**/*.yaml"))}
    yield made
    for path, content in kept.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


@pytest.fixture(scope="module")
def drawn_project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    shutil.copytree(HERE / "conf", folder / "conf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        yield folder


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", MODELS)
def test_every_conf_builds_and_takes_a_gradient(model, data, monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    conf = compose(model, data, "quick")
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
    refused |= {"discretised_vae": conf["data"]["levels"] is None and "needs data on grey levels"}
    refused |= {"table_vae": "needs levels to list a table's columns"}
    if cannot := refused.get(model):
        with pytest.raises(ConfigError, match=cannot):  # said, not built
            build_model(conf["model"], seed=0)
        return
    try:
        built = build_model(conf["model"], seed=0)
    except ConfigError as refusal:
        assert model not in SHIPPED and "\n" not in str(refusal)  # a model that was added may refuse data, in one line
        return
    assert tuple(listing._offers(type(built))) == capabilities(built), "what list prints, without building it"
    assert set(build_optimisers(conf["optim"], built)) == {objective.name for objective in built.objectives()}
    x = torch.randint(0, conf["data"]["levels"] or 17, (4, *conf["data"]["event_shape"])).float()
    for objective in built.objectives():
        assert objective.loss(x, Noise(0)).value.requires_grad


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_that_a_sweep_tries_fits_the_conf(model, monkeypatch):
    """Of the budget with the most trials; test_every_conf_builds composes quick, and test_chapter.py smoke."""
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    conf = compose(model, "digits", "full")
    for setting in settings(conf, seed=0):
        changed = flat(override(conf, setting))
        assert all(changed[key] == value for key, value in setting.items())


def test_beta_vae_is_chosen_by_its_factors_where_they_are_known_and_else_at_a_stated_rate(monkeypatch):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    of_factors, of_digits = compose("beta_vae", "factors", "quick"), compose("beta_vae", "digits", "quick")
    assert (of_factors["metric"], of_digits["metric"]) == ("entanglement", "distortion_at_rate")
    assert of_digits["sweep"]["front"]["rate_at_most"] == 20


def test_list_names_every_model_even_where_no_data_are_in_use(project, capsys):
    (project / "params.yaml").write_text(
        "seed: 0\nbudget: quick\nworkers: 1\ndata: []\nsweeps: {}\nreuses: {}\nruns: {}\n"
    )
    listing.main([])
    printed = capsys.readouterr().out
    assert all(f"\n  {model} " in printed for model in MODELS)
    given = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(given.replace("sweeps: {}", "sweeps: {a: {model: no_model, data: digits}}"))
    with pytest.raises(ConfigError, match="no_model"):
        listing.main([])
    assert "\n  digits " in capsys.readouterr().out, "what there is to choose from"


def test_the_published_lines_and_conf_files_are_sound(monkeypatch, capsys):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    check.main([])
    assert re.fullmatch(r"params.yaml and \d+ conf files are sound\n", capsys.readouterr().out)


@pytest.mark.parametrize("above", ["# mine\n# @package _global_\n", ""])
def test_a_model_file_without_its_package_at_the_top_is_told(project, above):
    path = project / "conf" / "model" / "mine.yaml"
    path.write_text((project / "conf" / "model" / "vae.yaml").read_text().replace("# @package _global_\n", above))
    for main in (listing.main, lambda _: compose("mine", "digits", "quick")):
        with pytest.raises(ConfigError, match=r"conf/model/mine\.yaml: its first line is not '# @package _global_'"):
            main([])
    path.write_text(f"\n#@package  _global_\n{path.read_text()}")
    assert compose("mine", "digits", "quick")["metric"] == "nats"
    path.unlink()


def test_every_stage_is_a_verb_and_depends_on_its_own_fingerprint():
    stages = yaml.safe_load((HERE / "dvc.yaml").read_text())["stages"]
    own = {"prepare_files", "baselines_files"}  # the same on people's own data
    assert set(stages) - {"reuse"} - own == set(cli.STAGES) == {"code", *ENTRIES}
    for verb in ENTRIES:
        one = "${item.model}.json" if verb in OF_A_MODEL else ""
        deps = stages[verb].get("do", stages[verb])["deps"]
        own = f"out/code/{verb}" + (f"/{one}" if one else ".json")
        assert [dep for dep in deps if dep.startswith("out/code")] == [own]
    for stage in stages.values():
        for dep in stage.get("do", stage)["deps"]:
            assert "$" in dep or dep.startswith("out") or (HERE / dep).exists(), dep


def test_the_first_trial_is_the_conf_as_it_stands_and_all_are_inside_the_space(project):
    conf = compose("vae", "digits", "quick")
    tried = settings(conf, seed=0)
    assert len(tried) == conf["budget"]["trials"]
    assert override(conf, tried[0]) == conf
    assert len({tuple(sorted(setting.items())) for setting in tried}) == len(tried)
    for setting in tried[1:]:
        for key, draw in conf["sweep"]["space"].items():
            ((kind, values),) = draw.items()
            if kind == "choice":
                assert setting[key] in values
            else:
                assert values[0] <= setting[key] <= values[1]


def test_the_trials_of_a_sweep_are_a_function_of_the_seed(project):
    conf = compose("vae", "digits", "quick")
    assert settings(conf, seed=0) == settings(conf, seed=0) != settings(conf, seed=1)


BAD_MODEL = {  # a change of conf/model/vae.yaml, and the line that it must give
    "batchsize: 3": "conf/model/vae.yaml: unknown key 'batchsize': did you mean 'batch_size'",
    "batch_size: 0": "conf/model/vae.yaml: batch_size: expected a whole number of at least 1, found 0",
    "batch_size: 2.5": "batch_size: expected a whole number, found 2.5",
    "batch_size: true": "batch_size: expected a whole number, found True",
    'batch_size: "1"': "batch_size: expected a whole number, found '1'",
    "batch_size: yes": "vae.yaml: line LINE: batch_size: yes: PyYAML reads True and DVC reads 'yes': write true",
    "order: simultanous": "order: unknown value 'simultanous': did you mean 'simultaneous'",
    "order: [alternating]": "order: expected text, found ['alternating']",
    "schedule: cosin": "schedule: unknown value 'cosin': did you mean 'cosine'",
    "keep: beste": "keep: unknown value 'beste': did you mean 'best'",
    "clip_norm: -1": "clip_norm: expected a number above 0, found -1",
    "clip_norm: .nan": "clip_norm: expected a finite number, found nan",
    "clip_norm: false": "clip_norm: expected a number, found False",
    "threads: 0": "threads: expected a whole number of at least 1, found 0",
    "optim: {vae: {_target_: torch.optim.Adam, lr: -0.1}}": "optim.vae.lr: expected a number above 0, found -0.1",
    "optim: {vae: {_target_: torch.optim.Adam, lr: .nan}}": "optim.vae.lr: expected a finite number, found nan",
    "optim: {vae: {_target_: torch.optim.Adam, lr: fast}}": "optim.vae.lr: expected a number, found 'fast'",
    "optim: {vae: {_target_: torch.optim.Adam, lr: null}}": "optim.vae.lr: expected a number, found None",
    "optim: {vae: {_target_: torch.optim.Adam, lr: 1e-3}}": "reads 0.001: write 1.0e-3 for the number",
    "optim: {vae: {lr: 1}}": "optim.vae: the key '_target_' is missing",
    "optim: {vae: 0.1}": "optim.vae: expected a mapping with the keys _target_, lr, found 0.1",
    "optim: 3": "optim: expected a mapping such as {key: value}, found 3",
    "sweep: {spcae: {}}": "sweep: unknown key 'spcae': did you mean 'space'",
    "sweep: {scheduler: ashaa}": "sweep.scheduler: unknown value 'ashaa': did you mean 'asha'",
    "sweep: {space: {model.bta: {choice: [1]}}}": "unknown key to sweep 'model.bta': did you mean 'model.beta'",
    "sweep: {space: {model.beta: {choise: [1]}}}": "model.beta: unknown key 'choise': did you mean 'choice'",
    "sweep: {space: {model.beta: {}}}": "expected one of choice, uniform, loguniform, such as {choice: [1, 2]}",
    "sweep: {space: {model.beta: {choice: []}}}": "choice: expected at least 1 values, found []",
    "sweep: {space: {model.beta: {choice: 1}}}": "choice: expected a list such as [a, b], found 1",
    "sweep: {space: {model.beta: {uniform: [2, 1]}}}": "expected [low, high] with low < high, found [2.0, 1.0]",
    "sweep: {space: {model.beta: {uniform: [1]}}}": "uniform: expected at least 2 values, found [1]",
    "sweep: {space: {model.beta: {loguniform: [0, 1]}}}": "loguniform.0: expected a number above 0, found 0",
    "sweep: {space: {model.beta: 3}}": "expected a mapping with the keys choice, uniform, loguniform, found 3",
    "sweep: {eta: 1}": "sweep.eta: expected a whole number of at least 2, found 1",
    "sweep: {rungs: 0}": "sweep.rungs: expected a whole number of at least 1, found 0",
    "sweep: {front: {rate: nats}}": "sweep.front: the key 'distortion' is missing",
    "sweep: null": "sweep: expected a mapping with the keys searcher, scheduler, rungs, eta, finalists, space, front",
    "sweep: {space: {batch_size: {choice: [64, 0]}}}": "vae.yaml: sweep.space.batch_size: batch_size: expected a whole",
    "budgets: {tiny: {stps: 3}}": "budgets.tiny: unknown key 'stps': did you mean 'steps'",
    "budgets: {tinny: {steps: 3}}": "budgets.tinny: unknown budget 'tinny': did you mean 'tiny'",
    "budgets: {tiny: {steps: 0}}": "vae.yaml: budgets.tiny.steps: expected a whole number of at least 1, found 0",
    "budgets: 3": "budgets: expected a mapping such as {key: value}, found 3",
    "metric: natz": "metric: unknown value 'natz': did you mean 'nats'",
    "a: [": "line LINE: not YAML: expected the node content",
}


@pytest.mark.parametrize("change", BAD_MODEL)
def test_a_wrong_line_of_a_models_conf_is_one_line_and_the_fix_gets_past_it(project, change):
    path = project / "conf" / "model" / "vae.yaml"
    key = change.partition(":")[0]
    kept = re.sub(rf"(?ms)^{key}:.*?(?=^\S|\Z)", "", path.read_text()).rstrip() + "\n"
    path.write_text(kept + change)
    with pytest.raises(ConfigError) as caught:
        compose("vae", "digits", "tiny")
    message = str(caught.value)
    assert BAD_MODEL[change].replace("LINE", str(kept.count("\n") + 1)) in message
    assert message.startswith("conf/model/vae.yaml: ") and "\n" not in message
    if offered := OFFER.search(message):
        path.write_text(kept + change.replace(*filter(None, offered.groups())))
        try:
            compose("vae", "digits", "tiny")
        except ConfigError as error:
            assert str(error) != message and not OFFER.search(str(error))


def test_a_wrong_value_is_said_of_the_file_that_holds_it(project):
    conf = project / "conf"
    budget, data, defaults = conf / "budget" / "tiny.yaml", conf / "data" / "digits.yaml", conf / "config.yaml"
    for path, before, after, line in (
        (budget, "steps: 600", "steps: 0", "conf/budget/tiny.yaml: budget.steps: expected a whole number"),
        (budget, "name: tiny", "nam: tiny", "conf/budget/tiny.yaml: budget: unknown key 'nam': did you mean 'name'"),
        (data, "source: digits", "batch_size: 0\nsource: digits", "conf/data/digits.yaml: data.batch_size: expected"),
        (defaults, "threads: 1", "threads: 0", "conf/config.yaml: threads: expected a whole number of at least 1"),
        (defaults, "threads: 1", "thread: 1", "conf/config.yaml: unknown key 'thread': did you mean 'threads'"),
    ):
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        with pytest.raises(ConfigError) as caught:
            compose("vae", "digits", "tiny")
        assert str(caught.value).startswith(line)
        path.write_text(text)


VAE = {"model": "vae", "data": "digits"}
REUSE = {**VAE, "setting": "vae-digits"}
BAD_PARAMS = [  # a change of params.yaml, the line that it must give, and the change as the line says to make it
    ({"seeed": 1}, "unknown key 'seeed': did you mean 'seed'", {"seed": 1}),
    ({"seed": -1}, "seed: expected a whole number of at least 0, found -1", {"seed": 0}),
    ({"seed": "x"}, "seed: expected a whole number, found 'x'", {"seed": 1}),
    ({"seed": "1"}, "seed: expected a whole number, found '1'", {"seed": 1}),
    ({"seed": True}, "seed: expected a whole number, found True", {"seed": 1}),
    ({"seed": 1.0}, "seed: expected a whole number, found 1.0", {"seed": 1}),
    ({"workers": 0}, "workers: expected a whole number of at least 1, found 0", {"workers": 1}),
    ({"budget": "tinny"}, "budget: unknown budget 'tinny': did you mean 'tiny'", {"budget": "tiny"}),
    ({"data": ["digitz"]}, "data.0: unknown data set 'digitz': did you mean 'digits'", {"data": ["digits"]}),
    ({"data": ["../digits"]}, "the name '../digits' may hold letters", {"data": ["digits"]}),
    ({"data": None}, "data: expected a list such as [a, b], found None", {"data": ["digits"]}),
    (
        {"sweeps": {"a": {**VAE, "model": "vea"}}},
        "sweeps.a.model: unknown model 'vea': did you mean 'vae'",
        {"sweeps": {"a": VAE}},
    ),
    (
        {"sweeps": {"a": {**VAE, "modl": "vae"}}},
        "sweeps.a: unknown key 'modl': did you mean 'model'",
        {"sweeps": {"a": VAE}},
    ),
    ({"sweeps": {"a": {"model": "vae"}}}, "sweeps.a: the key 'data' is missing", {"sweeps": {"a": VAE}}),
    (
        {"sweeps": {"a": {**VAE, "data": "two_moons"}}},
        "sweeps.a: data 'two_moons' is not listed under data:; add it",
        {"sweeps": {"a": {**VAE, "data": "two_moons"}}, "data": ["digits", "two_moons"]},
    ),
    (
        {"files": {"digitz": "a"}},
        "files.digitz: unknown data set 'digitz': did you mean 'digits'",
        {"files": {"digits": "a"}, "data": []},
    ),
    (
        {"files": {"digits": "a"}},
        "files.digits: 'digits' is also listed under data:; remove it there",
        {"files": {"digits": "a"}, "data": []},
    ),
    ({"files": {"iris": 3}}, "files.iris: expected text, found 3", {"files": {"iris": "3"}}),
    ({"files": {"iris": "s3://a/b"}}, "files.iris: 's3://a/b' is not a path of a file", {"files": {"iris": "a/b"}}),
    (
        {"files": {"iris": "~/a"}},
        "files.iris: ~/a: DVC does not know ~; write /",
        {"files": {"iris": "/a"}},
    ),
    ({"files": None}, "files: expected a mapping such as {key: value}, found None", {"files": {}}),
    ({"sweeps": {"a.b": VAE}}, "DVC reads the key a.b as keys inside one another: write a_b", {"sweeps": {"a_b": VAE}}),
    (
        {"sweeps": {"a/b": VAE}},
        "sweeps.a/b: the name 'a/b' may hold letters, digits, _ and - only",
        {"sweeps": {"a-b": VAE}},
    ),
    ({"sweeps": {"a\nb": VAE}}, "may hold letters", {"sweeps": {"ab": VAE}}),
    (
        {"sweeps": {"a": 3}},
        "sweeps.a: expected a mapping with the keys model, data, set, grid, seeds, found 3",
        {"sweeps": {"a": VAE}},
    ),
    ({"sweeps": [1]}, "sweeps: expected a mapping such as {key: value}, found [1]", {"sweeps": {"a": VAE}}),
    ({"reuses": {"a": VAE}}, "reuses.a: the key 'setting' is missing", {"reuses": {"a": REUSE}}),
    (
        {"reuses": {"a": {**REUSE, "setting": "vae-digit"}}},
        "reuses.a.setting: unknown sweep 'vae-digit': did you mean 'vae-digits'",
        {"reuses": {"a": REUSE}},
    ),
    (
        {"reuses": {"a": {**REUSE, "model": "ae"}}},
        "reuses.a.setting: vae-digits sweeps a vae, no ae; choose from (none)",
        {"reuses": {"a": REUSE}},
    ),
    (
        {"reuses": {"vae-digits": REUSE}},
        "reuses.vae-digits: a line under sweeps has the same name; give one",
        {"reuses": {"other": REUSE}},
    ),
    (
        {"reuses": {"pca": REUSE}},
        "reuses.pca: a baseline has that name; give the line another",
        {"reuses": {"p": REUSE}},
    ),
    ({"runs": {}}, "runs.vae-digits is not the line under sweeps or reuses: keep `runs: {<<: [*sweeps, *reuses]}`", {}),
    ({"runs": {"vae-digits": VAE, "b": VAE}}, "runs.b is not the line under sweeps or reuses: keep `runs: {<<:", {}),
    ({"runs": {"vae-digits": REUSE}}, "runs.vae-digits is not the line under sweeps or reuses: keep `runs", {}),
]


@pytest.mark.parametrize(("change", "line", "fixed"), BAD_PARAMS, ids=lambda value: str(value)[:40])
def test_a_wrong_line_of_params_is_one_line_and_the_fix_gets_past_it(project, change, line, fixed):
    write_params(project, {**PARAMS, **change})
    with pytest.raises(ConfigError) as caught:
        params()
    message = str(caught.value)
    assert message.startswith("params.yaml: ") and line in message and "\n" not in message
    mended = {**PARAMS, "reuses": {}, **fixed}
    write_params(project, {**mended, "runs": {**mended["sweeps"], **mended["reuses"]}})
    assert params().runs


def test_a_key_that_is_missing_is_said(project):
    for key in PARAMS:
        write_params(project, {name: value for name, value in PARAMS.items() if name != key})
        with pytest.raises(ConfigError, match=f"^params.yaml: the key '{key}' is missing$"):
            params()


def test_what_a_line_changes_of_its_sweep_is_not_said_of_its_training(project):
    fixed = {"budget.trials": 16, "budget.trial_steps": 7}
    line = Run("a", "vae", "digits", "a", fixed, {"model.beta": [1, 2]}, seeds=3)
    swept, said = compose_line(line, "quick"), params_of(compose("vae", "digits", "quick"))
    assert swept["budget"]["trials"] == 16
    assert params_of(swept) == said and said["budget.steps"] == 1500 and said["model.beta"] == 1.0


def test_runs_are_the_sweeps_then_the_reuses_merged_or_written_out(project):
    swept, reused = "  b: {model: vae, data: digits}\n", "  a: {model: vae, data: digits, setting: b}\n"
    text = "seed: 0\nbudget: tiny\nworkers: 1\ndata: [digits]\n"
    text += f"sweeps: &sweeps\n{swept}reuses: &reuses\n{reused}"
    merged, written_out = "runs: {<<: [*sweeps, *reuses]}\n", f"runs:\n{reused}{swept}"
    b, a = Run("b", "vae", "digits", "b"), Run("a", "vae", "digits", "b")
    for runs in (merged, written_out):
        (project / "params.yaml").write_text(text + runs)
        assert params() == Params(0, "tiny", 1, ("digits",), {}, {"b": b}, {"b": b, "a": a})
        assert list(params().runs) == ["b", "a"]


NASTY = st.sampled_from(
    ["33_1", "1e3", "no", "'no'", "017", "1:30", "a.b", "=", "2020-01-01", '"7"', "7", "a b", "é", "a"]
)


@given(NASTY, NASTY, NASTY, st.sampled_from(["0", "1", "1_0", "010", "0x1", "yes", "1e2", "'1'", "1.", "-0", "+3"]))
def test_what_params_accepts_dvc_reads_identically(drawn_project, key, other, setting, seed):
    line = "model: vae, data: digits"
    text = f"seed: {seed}\nbudget: quick\nworkers: 1\ndata: [digits]\nsweeps: &sweeps\n  {key}: {{{line}}}\n"
    text += f"reuses: &reuses\n  {other}: {{{line}, setting: {setting}}}\nruns: {{<<: [*sweeps, *reuses]}}\n"
    (drawn_project / "params.yaml").write_text(text)
    try:
        found = params()
    except ConfigError as error:
        assert str(error).startswith("params.yaml: ") and "\n" not in str(error)
        return
    raw = load_yaml(drawn_project / "params.yaml")
    assert (found.seed, type(found.seed)) == (raw["seed"], type(raw["seed"]))
    assert {key: (run.model, run.data) for key, run in found.sweeps.items()} == {
        key: (line["model"], line["data"]) for key, line in raw["sweeps"].items()
    }
    assert {key: run.setting for key, run in found.runs.items()} == {
        key: line.get("setting", key) for key, line in raw["runs"].items()
    }


def test_params_are_read_without_torch_and_hydra(project):
    code = "import sys; from pipelines.config.params import params; params(); print(*sys.modules)"
    modules = call(project, "python", "-c", code).stdout.split()
    assert "pipelines.config.params" in modules and not {"torch", "hydra", "omegaconf"} & set(modules)


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ({"model": "glow", "data": "two_moons"}, "sweeps.mine: .*is no image"),
        ({"set": {"model.beta": 0}}, "sweeps.mine: beta = 0"),
        ({"grid": {"model.beta": [1, -2]}}, r"sweeps.mine.grid.model.beta: beta = -2"),
        (
            {"set": {"model.samples": 1}, "grid": {"model.control_variate": ["none", "leave_one_out"]}},
            "sweeps.mine.grid.model.control_variate: samples = 1 leaves nothing",
        ),
        ({"grid": {"model.samples": [2, 4], "model.control_variate": ["leave_one_out"]}}, None),
        ({"set": {"sweep.searcher": "grid"}}, "sweeps.mine: sweep.searcher: grid takes choices only; model.sigma is"),
    ],
)
def test_check_builds_the_model_of_a_line_and_names_it(project, capsys, line, refusal):
    given = yaml.safe_load((project / "params.yaml").read_text())
    mine = {"model": "score_vae" if "control" in str(line) else "vae", "data": "digits", **line}
    for section in ("sweeps", "runs"):
        given[section]["mine"] = mine
    given["data"] = sorted({*given["data"], mine["data"]})
    (project / "params.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    if refusal is None:
        check.main([])
        assert "sound" in capsys.readouterr().out
        return
    with pytest.raises(ConfigError, match=f"params.yaml: {refusal}") as caught:
        check.main([])
    assert "\n" not in str(caught.value)
    if "sweep.searcher" in str(line):
        fix = re.search("write the values to try, such as `(.*)`, in place of sweep.searcher", str(caught.value))[1]
        for section in ("sweeps", "runs"):
            given[section]["mine"] = {"model": "vae", "data": "digits", **yaml.safe_load(f"{{{fix}}}")}
        (project / "params.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
        check.main([])
        assert "sound" in capsys.readouterr().out


def test_check_refuses_what_any_line_uses_with_exit_code_1(project):
    path = project / "conf" / "model" / "vae.yaml"
    path.write_text(path.read_text() + "clip_norm: -1\n")
    done = call(project, "gen-models", "check")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: conf/model/vae.yaml: clip_norm: expected a number above 0, found -1\n"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (("sweep", "vae-digit"), "unknown sweep 'vae-digit': did you mean 'vae-digits'"),
        (("train", "vae-digit"), "unknown run 'vae-digit': did you mean 'vae-digits'"),
        (("prepare", "digitz"), "unknown data set 'digitz': did you mean 'digits'"),
        (("check", "a"), "unrecognized arguments: a"),
        (("sweep",), "SWEEP"),
        (("train", "a", "b"), "RUN"),
    ],
)
def test_a_wrong_command_line_is_said_in_one_line(project, monkeypatch, capsys, command, line):
    monkeypatch.setattr(sys, "argv", ["gen-models", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr().err
    assert ended.value.code not in (0, None)
    assert line in told and "Traceback" not in told
    assert not (project / "out").exists()


def test_the_shell_gets_the_line_without_a_traceback(project):
    done = call(project, "python", "-m", "pipelines.cli", "train", "vae-digit")
    assert done.returncode == 1
    line = "error: params.yaml: unknown run 'vae-digit': did you mean 'vae-digits'? choose from vae-digits\n"
    assert done.stderr == line


def test_help_is_quick_to_read_and_names_every_verb(project):
    done = call(project, "python", "-m", "pipelines.cli", "--help")
    assert done.returncode == 0
    for verb in (*cli.STAGES, *cli.TOOLS):
        assert f"\n  {verb}" in done.stdout


def test_list_refuses_a_conf_whose_class_is_not_there_in_one_line(project):
    path = project / "conf" / "model" / "ae.yaml"
    for target in ("gen_models.autoencoders.no.Such", "gen_models.autoencoders.vae.Such", "os.system"):
        path.write_text(f"# @package _global_\nmodel: {{_target_: {target}}}\nmetric: mse\n")
        with pytest.raises(ConfigError, match=r"^conf/model/ae\.yaml: model\._target_ .*") as caught:
            listing.main([])
        assert "\n" not in str(caught.value)
