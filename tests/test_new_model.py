"""docs/new-model.md, followed word for word in a copy of the repository, adds a model that keeps the laws."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.project import HERE, environment, make_project, params_of, write_params

pytestmark = pytest.mark.slow
PAGE = (HERE / "docs" / "new-model.md").read_text()
LINE = re.search(r"`(laplace-digits): (\{.*?\})`", PAGE)


def follow(folder):
    """Write and append the files of the page; return the commands that it names."""
    head = r"(?:# @package _global_\n# [^\n]*\n)?"
    for text, name, more in re.findall(rf"```\w+\n({head}# ([\w/.]+)( \+)?\n.*?)```", PAGE, re.DOTALL):
        path = folder / name
        assert path.exists() == bool(more), name
        path.write_text((path.read_text() if more else "") + text)
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    return [line.split("#")[0].split() for block in blocks for line in block.splitlines()]


def test_a_model_added_by_the_page_keeps_the_laws_and_goes_through_the_graph(tmp_path):
    key, line = LINE[1], yaml.safe_load(LINE[2])
    old = {"gmm-digits": ("gmm", "digits")}
    root = make_project(tmp_path / "project", params_of(old))
    shutil.copytree(HERE / "tests", root / "tests")

    def run(*command):
        done = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "pipelines.cli", "play")
    run("dvc", "repro")
    commands = follow(root)
    write_params(root, params_of({**old, key: (line["model"], line["data"])}))
    said = ""
    for program, *words in commands:
        said += run(sys.executable, "-m", "pipelines.cli" if program == "gen-models" else program, *words)
    passed = int(re.search(r"(\d+) passed", said)[1])
    assert passed > 20, said[-500:]
    for stage in ("sweep", "train", "evaluate"):  # no other model is trained again
        assert f"'{stage}@{key}'" in said and f"Running stage '{stage}@gmm-digits'" not in said
    assert key in (root / "reports" / "index.html").read_text()
