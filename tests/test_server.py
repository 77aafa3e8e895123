"""`gen-models server` and a project that uses it: what is registered there loads from there, whenever it was away."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import requests

from pipelines import tracking
from pipelines.commands import predict
from pipelines.registry import register, verification, versions
from tests.finished import LEVELS, PROJECT, finish, make_project, metrics_at

pytestmark = pytest.mark.slow
RUN = "vae-digits"
START_SECONDS = 90  # at most; a server is up in about ten


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project whose store is a server that is not there yet."""
    root = make_project(tmp_path / "project", [RUN])
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{found.getsockname()[1]}")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    return root


@contextmanager
def server(root: Path, *options: str) -> Iterator[None]:
    """A server at the address of MLFLOW_TRACKING_URI for the length of the block, at whose end it is killed."""
    address = os.environ["MLFLOW_TRACKING_URI"]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    words = [sys.executable, "-m", "pipelines.cli", "server", "--port", address.rpartition(":")[2], *options]
    with subprocess.Popen(
        words, cwd=root, env=environment | {"PYTHONPATH": str(PROJECT)}, stdout=subprocess.PIPE, start_new_session=True
    ) as started:
        try:
            wait_for(f"{address}/health", started)
            yield
        finally:
            os.killpg(started.pid, signal.SIGKILL)


def wait_for(url: str, started: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail("the server is not up")


def test_what_a_server_missed_is_sent_once_and_a_version_loads_from_it(root, tmp_path, capsys):
    lineage = finish(root, RUN)
    with pytest.raises(tracking.StoreError, match="no server answers"):
        register.register(RUN)
    with server(root):
        recorder = tracking.Recorder(lineage)
        assert recorder.log(10, metrics_at(10))
        client = tracking.open_store()
    with (
        pytest.raises(tracking.StoreError, match=r"no server answers .*`gen-models server --port"),
        tracking.translated(),
    ):
        client.search_registered_models()
    began = time.monotonic()
    assert not recorder.log(20, metrics_at(20))
    assert not recorder.finish("FINISHED")
    assert time.monotonic() - began < 60, "a training waits for a server that is gone"
    assert capsys.readouterr().err.count("warning") == 1
    with server(root):
        written = register.register(RUN)
        assert (written["version"], written["aliases"]) == (1, ["candidate", "champion"])
        client = tracking.open_store()
        found = client.get_metric_history(recorder.run_id, "vae/nats")
        assert sorted((metric.step, metric.value) for metric in found) == [
            (step, metrics_at(step)["vae.nats"]) for step in (10, 20, 30)
        ]
        version = versions.find(client, RUN, "champion")
        assert versions.folder_of(client, version).is_dir()  # fetched, and its hashes compared
        place = next(found for found in verification.findings(client, version) if found.thing == "registry files")
        assert (place.state, place.words.partition(",")[0]) == (
            "equal", f"{RUN} version 1 in {os.environ['MLFLOW_TRACKING_URI']}"
        )  # fmt: skip
        np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, LEVELS, (3, 64)).astype(np.float32))
        predict.main([RUN, str(tmp_path / "rows.npy"), "--output", str(tmp_path / "scores.npy")])
        assert np.isfinite(np.load(tmp_path / "scores.npy")).all()
        place = client.get_experiment_by_name(tracking.TRAININGS).artifact_location
        assert place.startswith("mlflow-artifacts:/")
    assert {path.name for path in root.glob("server/*")} >= {"mlflow.db", "artifacts"}
    assert not [path for path in root.glob("ml*") if path.name != "mlflow.db.lock"], "the project's own store is unused"


def test_a_server_with_users_serves_those_whom_it_knows(root, monkeypatch):
    pytest.importorskip("flask_wtf", reason="pip install 'mlflow[auth]'")
    admin, bob = ("admin", "the admin's own password"), ("bob", "bob's own password")
    finish(root, RUN)
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", admin[1])
    with server(root, "--users", "--host", "0.0.0.0"):
        with pytest.raises(tracking.StoreError, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD") as e:
            register.register(RUN)
        assert "\n" not in str(e.value)
        users = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/users/create"
        requests.post(users, json=dict(zip(("username", "password"), bob, strict=True)), auth=admin).raise_for_status()
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", admin[1])
        with pytest.raises(tracking.StoreError, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"):
            register.register(RUN)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", bob[1])
        assert register.register(RUN)["aliases"] == ["candidate", "champion"]
    monkeypatch.delenv("MLFLOW_AUTH_ADMIN_PASSWORD")
    with server(root, "--users"):  # knows them from before
        assert versions.find(tracking.open_store(), RUN, "champion").number == "1"
        for name, value in zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), admin, strict=True):
            monkeypatch.setenv(name, value)
        finish(root, RUN, beta=2, nats=19.0)
        assert register.register(RUN)["version"] == 2  # of a model that bob has made
    kept = {path.name: path.stat().st_mode & 0o777 for path in (root / "server").iterdir()}
    assert kept["secret.txt"] == kept["users.ini"] == 0o600
