"""The command ui: what it says first, what it starts, and a port that cannot be used."""

import socket

import pytest

from pipelines import tracking
from pipelines.commands import ui
from tests.finished import make_project


@pytest.fixture
def started(tmp_path, monkeypatch) -> list[list[str]]:
    """The commands that would replace the process."""
    root = make_project(tmp_path / "project", ["vae-digits"])
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    commands: list[list[str]] = []
    monkeypatch.setattr(ui.os, "execvp", lambda file, words: commands.append(words))
    monkeypatch.setattr(ui.os, "dup2", lambda *descriptors: None)
    monkeypatch.setattr(ui, "SETTINGS", {})
    return commands


def free_port() -> int:
    with socket.socket() as found:
        found.bind((ui.HOST, 0))
        return found.getsockname()[1]


def test_it_names_the_pages_to_look_at_first_and_serves_the_projects_store(started, capsys):
    port = free_port()
    ui.main(["--port", str(port)])
    client = tracking.open_store()
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert f"http://127.0.0.1:{port}/#/models" in said[0]
    for line, name in zip(said[1:], (tracking.TRAININGS, tracking.SWEEPS), strict=False):
        assert f"/#/experiments/{tracking.experiment_id(client, name)}/runs" in line
    (words,) = started
    assert words[words.index("--backend-store-uri") + 1] == tracking.store_uri()
    assert words[words.index("--port") + 1] == str(port)


def test_it_serves_the_store_that_the_environment_names(started, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/another.db")
    ui.main(["--port", str(free_port())])
    assert f"sqlite:///{tmp_path}/another.db" in started[0]


def test_of_a_server_it_tells_the_pages_and_starts_nothing(started, monkeypatch, capsys):
    monkeypatch.setattr(tracking, "store_uri", lambda: "http://server:5000/")
    monkeypatch.setattr(tracking, "open_store", lambda: None)
    monkeypatch.setattr(tracking, "experiment_id", lambda client, name: "7")
    ui.main(["--port", str(free_port())])
    assert "http://server:5000/#/experiments/7/runs" in capsys.readouterr().out
    assert started == []


def test_a_port_that_cannot_be_used_is_one_line_that_names_another(started):
    with socket.socket() as taken:
        taken.bind((ui.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ui.PortError, match=rf"port {port} .* try `gen-models ui --port \d+`") as caught:
            ui.main(["--port", str(port)])
        assert "\n" not in str(caught.value)
    with pytest.raises(ui.PortError, match="expected 1 to 65535"):
        ui.main(["--port", "0"])
    assert started == []


def test_its_help_has_an_example_and_the_port(capsys):
    with pytest.raises(SystemExit):
        ui.main(["--help"])
    said = capsys.readouterr().out
    assert "gen-models ui --port 5001" in said and "MLFLOW_TRACKING_URI" in said
