"""What a stage runs on: which edits change which fingerprints, and that nothing imported is left out of them."""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from gen_models.errors import ConfigError
from pipelines.lineage import audit, code, fingerprint
from pipelines.lineage.fingerprint import ENTRIES, OF_A_MODEL, code_sha256, targets, unexpected
from pipelines.lineage.hashing import source_sha256
from pipelines.lineage.imports import ImportGraph
from tests.project import HERE, params_of, write_params

MODELS = sorted(path.stem for path in (HERE / "conf" / "model").glob("*.yaml"))
EVERY = {(stage, model) for stage in ENTRIES for model in (MODELS if stage in OF_A_MODEL else [None])}
Keys = set[tuple[str, str | None]]
Fingerprints = dict[tuple[str, str | None], dict[str, dict[str, str]]]


def of(*stages: str, models: Iterable[str] = MODELS) -> Keys:
    """The fingerprints of stages, those of a model for each of `models`."""
    return {(stage, model) for stage, model in EVERY if stage in stages and (model is None or model in models)}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Iterator[Path]:
    """A copy of the code and the conf, to be edited."""
    folder = tmp_path_factory.mktemp("code")
    for name in ("gen_models", "pipelines", "conf"):
        shutil.copytree(HERE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(HERE / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        yield folder


@pytest.fixture(scope="module")
def before(project) -> Fingerprints:
    return fingerprints()


@pytest.fixture(scope="module")
def after(project, before) -> Fingerprints:
    """The fingerprints while a constant more stands in each file that the laws name."""
    with ExitStack() as edits:
        for path in {*LAWS, *CODE_OF_MODELS}:
            edits.enter_context(edited(project / path, "", "\nONE_MORE = 1\n"))
        return fingerprints()


def fingerprints() -> Fingerprints:
    return {key: fingerprint.fingerprint(*key) for key in EVERY}


def changed(path: str, before: Fingerprints, after: Fingerprints) -> Keys:
    """The fingerprints that an edit of a file changed: those that hold its hash."""
    return {key for key in EVERY if before[key]["files"].get(path) != after[key]["files"].get(path)}


@contextmanager
def edited(path: Path, before: str, after: str) -> Iterator[None]:
    """A file with one piece of its text replaced, for the length of the block; with "" at its end something added."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1) if before else text + after)
    try:
        yield
    finally:
        path.write_text(text)


def holding(project: Path, path: str) -> set[str]:
    """The models whose classes import a file, directly or through others."""
    graph = ImportGraph(project)
    return {model for model in MODELS if project / path in graph.closure(targets(model)).files.values()}


def models_of(project: Path, family: str) -> set[str]:
    return {model for model in MODELS if any(name.startswith(f"gen_models.{family}.") for name in targets(model))}


# Which edit changes what


def test_every_stage_has_a_fingerprint_for_every_model(before):
    for (stage, _), found in before.items():
        for entry in ENTRIES[stage]:
            assert f"{entry.replace('.', '/')}.py" in found["files"]
        assert all(len(digest) == 64 for digest in found["files"].values())
        assert {"python", "torch"} <= set(found["libraries"]), stage
    assert "pipelines/report/templates/parts.html" in before["report", None]["files"]
    for model in MODELS:
        (own,) = {f"{name.replace('.', '/')}.py" for name in targets(model) if "optimistic" not in name}
        assert {stage for stage in OF_A_MODEL if own in before[stage, model]["files"]} == set(OF_A_MODEL)


def test_the_files_that_dvc_compares_are_written_for_every_run(project):
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    runs = yaml.safe_load((project / "params.yaml").read_text())["runs"]
    code.main([])
    named = {}
    for stage in ENTRIES:
        (dep,) = [d for d in (stages[stage].get("do") or stages[stage])["deps"] if d.startswith("out/code/")]
        named[stage] = {dep.replace("${item.model}", run["model"]) for run in runs.values()}
    written = {p.relative_to(project).as_posix(): p.read_bytes() for p in (project / "out/code").rglob("*.json")}
    assert set.union(*named.values()) == set(written)
    assert json.loads(written["out/code/prepare.json"]) == fingerprint.fingerprint("prepare")
    code.main([])
    assert {path: (project / path).read_bytes() for path in written} == written


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "\n\n# a comment at the end\n"),
        ("\nimport ", "\n\n\n# a comment\nimport "),
        ('"""', '"""Another docstring. '),
    ],
    ids=["comment", "blank lines", "docstring"],
)
def test_how_code_is_written_changes_nothing(project, before, old, new):
    with edited(project / "gen_models" / "engine.py", old, new):
        assert fingerprints() == before


LAWS = {  # path: what an edit of it must change, and what it must not
    "gen_models/engine.py": (of("sweep", "train", "evaluate"), set()),
    "gen_models/noise.py": (EVERY - of("prepare", "compare", "report", "baselines"), set()),
    "gen_models/codecs/bits_back.py": (of("evaluate", "baselines", "compare"), of("prepare", "sweep", "train")),
    "pipelines/config/compose.py": (of("sweep", "train"), of("baselines")),
    "pipelines/data/prepare.py": (of("prepare"), EVERY - of("prepare")),
    "pipelines/training/trainer.py": (of("sweep", "train"), EVERY - of("sweep", "train")),
    "pipelines/training/trials.py": (of("sweep"), EVERY - of("sweep")),
    "pipelines/training/rungs.py": (of("sweep", "train"), EVERY - of("sweep", "train")),
    "pipelines/training/schedulers.py": (of("sweep"), EVERY - of("sweep")),
    "pipelines/training/course.py": (of("sweep"), EVERY - of("sweep")),
    "pipelines/training/search.py": (of("sweep"), EVERY - of("sweep")),
    "pipelines/training/sweep_plan.py": (of("sweep"), EVERY - of("sweep")),
    "pipelines/training/training_plan.py": (of("train"), EVERY - of("train")),
    "pipelines/evaluation/evaluation_plan.py": (of("evaluate"), EVERY - of("evaluate")),
    "pipelines/evaluation/measure.py": (of("evaluate"), EVERY - of("evaluate")),
    "pipelines/evaluation/evaluate.py": (of("evaluate"), EVERY - of("evaluate")),
    "pipelines/figures/style.py": (of("evaluate", "baselines", "compare", "report"), of("prepare", "sweep", "train")),
    "pipelines/comparison/compare.py": (of("compare"), EVERY - of("compare")),
    "pipelines/comparison/anomaly_baselines.py": (of("baselines"), EVERY - of("baselines", "compare")),
    "pipelines/registry/serving.py": (of("register"), EVERY - of("register")),
    "pipelines/report/leaderboard_columns.py": (of("report"), EVERY - of("report")),
    "pipelines/report/templates/parts.html": (of("report"), EVERY - of("report")),
    "pipelines/training/follower.py": (set(), EVERY),
    "pipelines/training/in_play.py": (set(), EVERY),
    "pipelines/training/play.py": (set(), EVERY),
    "pipelines/training/ray_play.py": (set(), EVERY),
    "pipelines/training/ray_train.py": (set(), EVERY),
    "pipelines/training/ray_tune.py": (set(), EVERY),
    "pipelines/training/ray_cluster.py": (set(), EVERY),
    "pipelines/training/ray_resources.py": (set(), EVERY),
    "pipelines/config/cluster_conf.py": (set(), EVERY),
    "pipelines/tracking/live_run.py": (set(), EVERY),
    "pipelines/tracking/__init__.py": (set(), EVERY),
    "pipelines/runtime/stage.py": (set(), EVERY),
    "pipelines/lineage/facts.py": (set(), EVERY),
    "pipelines/cli.py": (set(), EVERY),
    "pipelines/commands/predict.py": (set(), EVERY),
}


CODE_OF_MODELS = {  # path: its family, and models that run on it
    "gen_models/layers/dcgan.py": ("adversarial", {"dcgan", "conv_wgan"}),
    "gen_models/adversarial/dcgan.py": ("adversarial", {"dcgan"}),
    "gen_models/bijections/spline.py": ("flows", {"spline_flow", "scalar_flow"}),
    "gen_models/flows/spline_flow.py": ("flows", {"spline_flow"}),
    "gen_models/autoencoders/vae.py": ("autoencoders", {"vae", "beta_vae", "conv_vae", "bernoulli_vae"}),
}


@pytest.mark.parametrize("path", LAWS)
def test_an_edit_changes_the_fingerprints_of_what_runs_on_it_alone(before, after, path):
    must, must_not = LAWS[path]
    assert must_not.isdisjoint(must)
    assert changed(path, before, after) >= must
    assert changed(path, before, after).isdisjoint(must_not)


@pytest.mark.parametrize("path", CODE_OF_MODELS)
def test_an_edit_of_a_models_code_touches_the_models_of_its_family_that_import_it(project, before, after, path):
    family, known = CODE_OF_MODELS[path]
    importers = holding(project, path)
    assert known <= importers <= models_of(project, family)
    assert changed(path, before, after) == of("sweep", "train", "evaluate", models=importers)


def test_one_edit_changes_the_hashes_of_these_stages_and_of_no_other(project, before):
    known = {key: code_sha256(*key) for key in EVERY}
    with edited(project / "gen_models" / "layers" / "dcgan.py", "", "\nONE_MORE = 1\n"):
        hashes = {key: code_sha256(*key) for key in EVERY}
    importers = holding(project, "gen_models/layers/dcgan.py")
    assert {key for key in EVERY if hashes[key] != known[key]} == of("sweep", "train", "evaluate", models=importers)


def test_a_spline_is_that_of_two_models_and_dcgans_own_class_is_one_models(project):
    assert holding(project, "gen_models/bijections/spline.py") == {"spline_flow", "scalar_flow", "universal_flow"}
    assert holding(project, "gen_models/adversarial/dcgan.py") == {"dcgan"}
    assert holding(project, "gen_models/layers/dcgan.py") == {"dcgan", "conv_wgan"}, "both have its generator"


# Hashes of source files


@pytest.mark.parametrize(
    ("source", "other", "is_same"),
    [
        ("x = 1\n", "x = 1  # one\n", True),
        ("x = 1\n", "\n\n# one\nx   =   (1)\n", True),
        ('"""Doc."""\nx = 1\n', "x = 1\n", True),
        ('def f():\n    """Doc."""\n    return 1\n', 'def f():\n    """Other."""\n    return 1\n', True),
        ('class A:\n    """Doc."""\n\n    x = 1\n', "class A:\n    x = 1\n", True),
        ('async def f():\n    """Doc."""\n    return 1\n', "async def f():\n    return 1\n", True),
        ("x = 1\n", "x = 2\n", False),
        ("x = 1\n", "x = 1.0\n", False),
        ('x = "a"\n', 'x = "b"\n', False),
        ("x = 1\ny = 2\n", "y = 2\nx = 1\n", False),
        ("def f(a=1): return a\n", "def f(a=2): return a\n", False),
        ("x = 1\n'said later'\n", "x = 1\n'said otherwise'\n", False),
        ("import a\n", "import b\n", False),
    ],
)
def test_a_source_file_is_hashed_by_what_it_does(tmp_path, source, other, is_same):
    for name, text in (("one.py", source), ("other.py", other)):
        (tmp_path / name).write_text(text)
    assert (source_sha256(tmp_path / "one.py") == source_sha256(tmp_path / "other.py")) is is_same


@pytest.mark.parametrize("name", ["broken.py", "parts.html", "null.py"])
def test_what_is_not_python_is_hashed_by_its_bytes(tmp_path, name):
    path = tmp_path / name
    text = {"broken.py": "def f(:\n", "parts.html": "x = 1\n", "null.py": "x = 1\0\n"}[name]
    path.write_text(text)
    first = source_sha256(path)
    assert source_sha256(path) == first
    path.write_text(text + "# a comment\n")
    assert source_sha256(path) != first


# The closure of imports


def write_code(root: Path, files: dict[str, str]) -> ImportGraph:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return ImportGraph(root)


@pytest.mark.parametrize(
    ("statement", "reached"),
    [
        ("import gen_models.a.b", {"gen_models.a", "gen_models.a.b"}),
        ("import gen_models.a.b as short", {"gen_models.a", "gen_models.a.b"}),
        ("from gen_models.a import b", {"gen_models.a", "gen_models.a.b"}),
        ("from gen_models.a.b import some_function", {"gen_models.a", "gen_models.a.b"}),
        ("from gen_models import a", {"gen_models.a"}),
        ("def f():\n    from gen_models.a import b\n", {"gen_models.a", "gen_models.a.b"}),
        ("if True:\n    class A:\n        import gen_models.a\n", {"gen_models.a"}),
        ("import gen_models.c", {"gen_models.c", "gen_models.a", "gen_models.a.b"}),
        ("import gen_models_of_others.a", None),
        ('name = "gen_models.a.b"', None),
        ("x = 1", None),
    ],
)  # fmt: skip
def test_the_closure_follows_every_form_of_import(tmp_path, statement, reached):
    graph = write_code(
        tmp_path,
        {
            "gen_models/__init__.py": "",
            "gen_models/a/__init__.py": "",
            "gen_models/a/b.py": "import numpy.linalg\n",
            "gen_models/c.py": "def f():\n    import gen_models.a.b\n",
            "pipelines/__init__.py": "",
            "pipelines/start.py": statement,
        },
    )
    found = graph.closure(["pipelines.start"])
    own = {"pipelines", "pipelines.start"}
    assert set(found.files) == own | (reached | {"gen_models"} if reached else set())
    assert ("numpy" in found.packages) == ("gen_models.a.b" in found.files)


def test_a_packages_init_runs_with_each_of_its_modules(tmp_path):
    graph = write_code(
        tmp_path,
        {
            "gen_models/__init__.py": "",
            "gen_models/a/__init__.py": "from gen_models.other import x\n",
            "gen_models/a/b.py": "",
            "gen_models/other.py": "x = 1\n",
        },
    )
    assert "gen_models.other" in graph.closure(["gen_models.a.b"]).files


def test_imports_in_a_circle_end_and_what_is_left_out_is_not_followed(tmp_path):
    graph = write_code(
        tmp_path,
        {
            "pipelines/a.py": "import pipelines.b\nimport pipelines.ray_c\n",
            "pipelines/b.py": "import pipelines.a\n",
            "pipelines/ray_c.py": "import pipelines.d\n",
            "pipelines/d.py": "",
        },
    )
    assert set(graph.closure(["pipelines.a"]).files) == {f"pipelines.{name}" for name in ("a", "b", "ray_c", "d")}
    assert set(graph.closure(["pipelines.a"], without=("pipelines.ray_",)).files) == {"pipelines.a", "pipelines.b"}


def test_a_file_that_does_not_parse_imports_nothing_and_still_counts(tmp_path):
    graph = write_code(tmp_path, {"pipelines/a.py": "import pipelines.b\n", "pipelines/b.py": "import pipelines.c (\n"})
    assert set(graph.closure(["pipelines.a"]).files) == {"pipelines.a", "pipelines.b"}


def test_no_import_of_the_project_is_relative():
    """The closure reads absolute imports alone."""
    for path in ImportGraph(HERE).modules.values():
        assert not [line for line in path.read_text().splitlines() if line.strip().startswith("from .")], path


def test_a_conf_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    shutil.copytree(HERE / "conf", tmp_path / "conf")
    write_params(tmp_path, params_of({}))
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    (tmp_path / "conf" / "model" / "vae.yaml").write_text("model: {_target_: [\n")
    with pytest.raises(ConfigError, match=r"vae\.yaml: cannot be read as YAML") as caught:
        targets("vae")
    assert "\n" not in str(caught.value)


# What was imported beside the fingerprint


@pytest.fixture
def imported(project, monkeypatch) -> dict[str, ModuleType | SimpleNamespace]:
    """What a process has imported; as a start, all that its stage imports, and what is not the project's."""
    entries = [*ENTRIES["train"], *targets("vae")]
    names = ImportGraph(project).closure(entries).files
    modules = {name: SimpleNamespace(__file__=str(path)) for name, path in names.items()}
    modules |= {"numpy": SimpleNamespace(__file__="numpy.py"), "__main__": SimpleNamespace(__file__="train.py")}
    monkeypatch.setattr(fingerprint, "sys", SimpleNamespace(modules=modules))
    return modules


def test_what_a_stage_imports_by_statements_is_expected(imported):
    assert unexpected("train", "vae") == []


def test_a_module_that_was_imported_by_a_string_is_told(imported):
    for name in ("gen_models.adversarial.dcgan", "pipelines.report.page", "pipelines.runtime.stage", "gen_modelsx.a"):
        imported[name] = SimpleNamespace(__file__=f"{name}.py")
    imported["gen_models.made_at_run_time"] = SimpleNamespace(__file__=None)
    assert unexpected("train", "vae") == ["gen_models.adversarial.dcgan", "pipelines.report.page"]
    of_another = unexpected("train", "dcgan")
    assert {"gen_models.autoencoders.vae", "pipelines.report.page"} <= set(of_another)
    assert "gen_models.adversarial.dcgan" not in of_another


def test_a_stage_warns_of_it_after_its_work(monkeypatch, capsys):
    done = []
    monkeypatch.setattr(audit, "run", lambda main: main(["vae-digits"]))
    asked = SimpleNamespace(runs={"vae-digits": SimpleNamespace(model="vae")}, sweeps={})
    monkeypatch.setattr(audit, "params", lambda: asked)
    monkeypatch.setattr(audit, "unexpected", lambda *key: [f"gen_models.{'_'.join(key)}"] if done else [])
    audit.run_stage("train", done.append)
    assert done == [["vae-digits"]]
    assert capsys.readouterr().err == (
        "warning: gen_models.train_vae was imported, and out/code leaves it out of what train runs on\n"
    )
