"""The installation: what it tells beforehand is so, the build of PyTorch is one decision, and a failure is one line."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

import install

HERE = Path(__file__).resolve().parent.parent


@pytest.fixture
def asked(monkeypatch) -> list[tuple[str, ...]]:
    """The calls of pip, each of which succeeds unless a test says otherwise."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "pip", lambda title, *arguments: calls.append(arguments))
    return calls


def test_it_needs_nothing_but_pythons_own_library():
    for node in ast.walk(ast.parse((HERE / "install.py").read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert all(name.split(".")[0] in sys.stdlib_module_names for name in names), names


def test_the_disk_that_is_told_is_what_the_locked_packages_take():
    if "+cpu" not in distribution("torch").version:
        pytest.skip("another build of PyTorch is installed than the one that was measured")
    taken = 0
    for name in install.pins():
        files = distribution(name).files or []
        paths = (Path(file.locate()) for file in files)
        taken += sum(-(-path.stat().st_size // 4096) * 4096 for path in paths if path.is_file())  # in whole blocks
    assert taken / 1e6 == pytest.approx(install.SIZES["cpu"][1], rel=0.1)


def test_every_line_of_the_lock_pins_a_package():
    lines = (HERE / "requirements.lock").read_text().split()
    assert [f"{name}=={version}" for name, version in install.pins().items()] == lines


def test_the_pythons_are_those_of_pyproject_and_the_readme():
    required = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["requires-python"]
    (oldest, newest) = (install.VERSIONS[0], install.VERSIONS[-1])
    assert required == f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"
    assert "Python 3.11, 3.12 or 3.13" in (HERE / "README.md").read_text()


@pytest.mark.parametrize("version", [(3, 9), (3, 10), (3, 14), (2, 7)])
def test_another_python_is_refused_in_one_line_with_the_remedy(version):
    with pytest.raises(
        install.InstallError, match=r"^Python 3\.11, 3\.12 or 3\.13 is needed.*make PYTHON=.*$"
    ) as caught:
        install.check_python(version)
    assert "\n" not in str(caught.value)
    for good in install.VERSIONS:
        install.check_python(good)


def test_auto_takes_the_cuda_build_where_there_is_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(install, "GPU_FILES", (str(tmp_path / "nvidia0"),))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert install.choose("auto")[0] == "cpu"
    (tmp_path / "nvidia0").touch()
    assert install.choose("auto")[0] == "cuda"
    assert (install.choose("cpu")[0], install.choose("cuda")[0]) == ("cpu", "cuda")
    with pytest.raises(install.InstallError, match="TORCH=gpu: expected cpu, cuda or auto"):
        install.choose("gpu")


def test_the_cpu_build_comes_from_pips_own_sources_if_they_have_it(asked):
    install.install_cpu_torch(may_be_another=True)
    assert len(asked) == 1 and install.CPU_INDEX not in asked[0]


@pytest.mark.parametrize("may_be_another", [True, False])
def test_it_else_comes_from_pytorchs_index_and_another_only_if_no_build_was_named(monkeypatch, capsys, may_be_another):
    calls = []

    def fails(title, *arguments):
        calls.append(arguments)
        raise install.InstallError("no answer")

    monkeypatch.setattr(install, "pip", fails)
    if may_be_another:
        install.install_cpu_torch(may_be_another=True)
        assert "perhaps the CUDA build with 3 GB" in capsys.readouterr().out
    else:
        with pytest.raises(install.InstallError, match="no answer"):
            install.install_cpu_torch(may_be_another=False)
    assert [install.CPU_INDEX in call for call in calls] == [False, True]
    assert all("--no-deps" in call for call in calls)  # all other packages are those of the lock


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("WARNING: ... NewConnectionError(...)\nERROR: No matching distribution found for torch==1", "does not answer"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "has no torch==2.13.0+cpu for this Python"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED'))", "PIP_CERT"),
        ("ERROR: Could not install: [Errno 13] Permission denied: '/x/y'", "/x/y cannot be written"),
        ("WARNING: a\nERROR: something\n  else", "ERROR: something"),
        ("", "pip failed"),
    ],
)
def test_a_failure_of_pip_is_told_by_its_likely_cause(said, cause):
    assert cause in install.likely_cause(said)
    assert "\n" not in install.likely_cause(said)


def test_too_small_a_disk_is_refused_before_anything_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    with pytest.raises(install.InstallError, match=r"1000000.0 GB are needed in .*, \d+\.\d GB are free"):
        install.check_disk(1e9)


def test_pip_that_fails_leaves_its_words_in_the_log(monkeypatch, tmp_path, capsys):
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "python"
    fake.write_text("#!/bin/sh\necho ERROR: No matching distribution found for x==1\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "LOG", tmp_path / "install.log")
    (tmp_path / "install.log").write_text("")
    monkeypatch.setattr(install, "next_line", float("inf"))  # the line of progress that is printed each minute
    with pytest.raises(install.InstallError, match=r"has no x==1 .*, then repeat the command .*install\.log"):
        install.pip("packages", "x==1")
    assert "No matching distribution" in (tmp_path / "install.log").read_text()
    assert capsys.readouterr().out == ""


EXTRA = {
    "hydra-core": "hydra",
    "pillow": "PIL",
    "ruamel-yaml": "ruamel",
    "ruamel-yaml-clib": "ruamel",
    "scikit-learn": "sklearn",
}
WITHOUT = (
    "import sys; sys.modules.update(dict.fromkeys({names!r})); "  # None: an import of it fails as if it were missing
)
BASE = """
import numpy as np
from gen_models import fit, load, sample, save, score
from gen_models.autoencoders import VAE
from gen_models.codecs.container import *
x = np.arange(24.0).reshape(12, 2)
model, _ = fit(VAE(event_shape=[2], levels=None, latent=2, hidden=[4], sigma=0.1), x, steps=2, batch=4)
save(model, "vae")
print(sample(load("vae"), 3).shape, score(model, x).shape)
"""


def of_the_extra() -> list[str]:
    """What only the extra `pipelines` installs, by the names of imports."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[\[>=]", line)[0].replace(".", "-") for line in project["optional-dependencies"]["pipelines"]]
    return sorted({EXTRA.get(name, name) for name in names} - {"filelock"})  # torch itself needs filelock


def test_the_mathematics_needs_no_package_of_the_pipelines(tmp_path):
    code = WITHOUT.format(names=of_the_extra()) + BASE
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "(3, 2) (12,)\n", done.stderr


@pytest.mark.parametrize("name", ["pydantic", "ruamel"])
def test_a_command_without_its_packages_says_what_to_install(name):
    code = WITHOUT.format(names=[name]) + "sys.argv[1:] = ['check']; from pipelines.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: {name} is not installed: run `pip install 'gen-models[pipelines]'`\n"
