"""A graph played on two machines without a common folder ends bit for bit as on one, and when one of them dies too.

The machine that is left takes all work for which it has room. For the rest, a play goes on once a machine is back.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.project import HERE, call, make_project, params_of, write_params
from tests.two_machines import BUCKET, Machines, cannot

pytestmark = [pytest.mark.slow, pytest.mark.skipif(cannot() is not None, reason=str(cannot()))]
DEFAULT = "the default graph"
TWO_WORKERS = "a sweep and two trainings of two workers each"
PATIENCE = 2700.0
PLAY = ("python", "-m", "pipelines.cli", "play")
REPRO = ("python", "-m", "dvc", "repro")


@pytest.fixture(scope="module", params=[DEFAULT, TWO_WORKERS])
def graph(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def project(tmp_path_factory, graph) -> Path:
    return make_project(tmp_path_factory.mktemp("machines") / "project", params(graph))


@pytest.fixture(scope="module")
def alone(project) -> dict[str, str]:
    """The outputs of one machine."""
    for command in (PLAY, REPRO):
        done = call(project, *command, seconds=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
    return outputs(project)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: a path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="gm") as name:
        yield Path(name)


def params(graph: str, **others: object) -> dict:
    """Return params.yaml: this repository's own, or that of a smaller graph."""
    if graph == DEFAULT:
        return yaml.safe_load((HERE / "params.yaml").read_text()) | others
    line = ("vae", "digits")
    return params_of({"vae-digits": line}, {"vae-again": (*line, "vae-digits")}, workers=2, **others)


def outputs(project: Path) -> dict[str, str]:
    """Return {file: its hash}. That params.yaml has another `storage` is told by the commit in lineage.json alone."""
    found = [path for path in sorted((project / "out").rglob("*")) if path.is_file()]
    return {str(path.relative_to(project)): hashlib.sha256(content(path)).hexdigest() for path in found}


def content(path: Path) -> bytes:
    if path.name != "lineage.json":
        return path.read_bytes()
    return json.dumps(
        {key: value for key, value in json.loads(path.read_bytes()).items() if key != "git_commit"}
    ).encode()


def forget(project: Path) -> None:
    for name in ("out", "work", "reports", "live", "mlartifacts", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(project / name, ignore_errors=True)
    for name in ("mlflow.db", "dvc.lock"):
        (project / name).unlink(missing_ok=True)


@pytest.mark.parametrize("way", ["storage", "storage, and a machine dies", "a shared folder"])
def test_two_machines_end_as_one(project, alone, graph, folder, way):
    forget(project)
    shares = way == "a shared folder"
    write_params(project, params(graph, **({} if shares else {"storage": f"s3://{BUCKET}/models"})))
    with Machines(folder, project, shares=shares) as machines:
        play = machines.start(*PLAY)
        if way == "storage, and a machine dies":
            checkpoint = "jobs/*/*/latest/resume.json"  # some minutes later, as play prepares the data sets first
            machines.wait(lambda: list(machines.node.glob(checkpoint)), "a checkpoint on the second", PATIENCE)
            machines.kill_second()
            if graph == TWO_WORKERS:  # for which one machine is no room
                assert play.wait(PATIENCE) == 1, (folder / "python.log").read_text()
                assert "has lost the room for a training (2 workers" in (folder / "python.log").read_text()
                machines.start_second()
                play = machines.start(*PLAY)
        assert play.wait(PATIENCE) == 0, (folder / "python.log").read_text()
        assert "Traceback" not in (folder / "python.log").read_text()
        assert shares or list(machines.node.glob("data/*")), "the second machine did nothing"
        left = machines.stored()
        assert all(name.startswith("data/") for name in left), left
        done = machines.call(*REPRO, seconds=PATIENCE, PYTHONPATH=str(project), **machines.driver)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "play" not in done.stdout
    assert outputs(project) == alone
