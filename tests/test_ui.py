"""The command ui: what it says first, what it starts, and a port that cannot be used."""

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from pipelines import tracking
from pipelines.commands import mlflow_server, served_users, server, ui
from pipelines.report import as_text
from tests.finished import make_project
from tests.project import HERE


@pytest.fixture
def started(tmp_path, monkeypatch) -> list[list[str]]:
    """The commands of the servers that would be started."""
    root = make_project(tmp_path / "project", ["vae-digits"])
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    commands: list[list[str]] = []
    monkeypatch.setattr(mlflow_server, "run", lambda words, log, environment: commands.append(words))
    return commands


def free_port() -> int:
    with socket.socket() as found:
        found.bind((mlflow_server.HOST, 0))
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
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@server:5000/")
    monkeypatch.setattr(tracking, "open_store", lambda **how: None)
    monkeypatch.setattr(tracking, "experiment_id", lambda client, name: "7")
    ui.main(["--port", "0"])  # no port is needed
    assert "http://server:5000/#/experiments/7/runs" in capsys.readouterr().out
    assert as_text.model_page("vae-digits") == "http://server:5000/#/models/vae-digits"
    assert started == []


@pytest.mark.parametrize(("verb", "main"), [("ui", ui.main), ("server", server.main)])
def test_a_port_that_cannot_be_used_is_one_line_that_names_another(started, verb, main):
    with socket.socket() as taken:
        taken.bind((mlflow_server.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(mlflow_server.PortError, match=rf"port {port} .*; try `gen-models {verb} --port \d+`") as e:
            main(["--port", str(port)])
        assert "\n" not in str(e.value)
    with pytest.raises(mlflow_server.PortError, match="expected 1 to 65535"):
        main(["--port", "0"])
    assert started == []


def test_a_server_has_a_store_of_its_own_on_loopback_and_keeps_the_files_itself(started, capsys):
    port = free_port()
    server.main(["--port", str(port)])
    assert f"export MLFLOW_TRACKING_URI=http://127.0.0.1:{port}" in capsys.readouterr().out
    (words,) = started
    said = dict(zip(words[2::2], words[3::2], strict=True))
    assert said["--host"] == "127.0.0.1"
    assert said["--backend-store-uri"].endswith("/project/server/mlflow.db")
    assert said["--artifacts-destination"].endswith("/project/server/artifacts")


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("mlruns", "not a database; say --store sqlite:////absolute/mlflow.db, or leave --store out"),
        (
            "postgresql+nodriver://me:secret@127.0.0.1/x",
            r"--store postgresql\+nodriver://...: no driver of that name is known; say postgresql://USER@HOST/DATABASE",
        ),
        (
            "mssql://me:secret@127.0.0.1/x",
            r"--store mssql://me:\.\.\.@127.0.0.1/x: not a database; say --store sqlite:///",
        ),
        (
            "postgresql://me:secret@127.0.0.1:port/x",
            r"--store postgresql://\.\.\.: .*say postgresql://USER@HOST/DATABASE",
        ),
        (
            "mysql://me:secret@127.0.0.1/x",
            "the driver MySQLdb is not installed; run `pip install mysqlclient` in .venv",
        ),
    ],
)
def test_a_database_that_cannot_be_served_is_one_line_without_its_password(started, store, says):
    with pytest.raises(server.ServedStoreError, match=says) as caught:
        server.main(["--store", store])
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    assert started == []


def test_a_server_that_ends_by_itself_is_told_by_its_last_words_without_a_password(tmp_path):
    dies = [sys.executable, "-c", "import sys; print('begins'); sys.exit('no answer from postgresql://me:secret@h/x')"]
    log = tmp_path / "log"
    log.write_text("of an older server\n")
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with pytest.raises(mlflow_server.ServerError, match=r"ended: no answer from postgresql://me:\.\.\.@h/x; its"):
            mlflow_server.run(dies, log, {})
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers, strict=True):
            signal.signal(number, handler)
    assert log.read_text().startswith("of an older server\n")
    assert log.stat().st_size > 60


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_ends_with_its_command(tmp_path, number):
    waits = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
    code = (
        f"from pathlib import Path; from pipelines.commands.mlflow_server import run; run({waits!r}, Path('log'), {{}})"
    )
    began = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(HERE)})
    log = tmp_path / "log"
    while not (log.is_file() and log.read_text().strip()):
        assert began.poll() is None
        time.sleep(0.05)
    server = psutil.Process(int(log.read_text()))
    began.send_signal(number)
    assert began.wait(20) == (-number if number == signal.SIGKILL else 0)
    server.wait(20)


def test_its_help_has_an_example_and_the_port(capsys):
    with pytest.raises(SystemExit):
        ui.main(["--help"])
    said = capsys.readouterr().out
    assert "gen-models ui --port 5001" in said and "MLFLOW_TRACKING_URI" in said


def test_a_server_for_other_machines_is_reached_by_its_names_and_warns_if_it_asks_nobody(started, capsys):
    server.main(["--host", "0.0.0.0", "--port", str(port := free_port()), "--name", "Models.example.org"])
    said = capsys.readouterr()
    assert "warning: all who reach http://Models.example.org" in said.err and "--users" in said.err
    options = dict(zip(started[0][2::2], started[0][3::2], strict=True))
    assert options["--host"] == "0.0.0.0"
    for name in ("localhost", "models.example.org", socket.gethostname().lower()):
        assert {name, f"{name}:*"} <= set(options["--allowed-hosts"].split(","))
        assert f"http://{name}:{port}" in options["--cors-allowed-origins"].split(",")
    assert "*" not in options["--allowed-hosts"].split(",")
    server.main(["--port", str(port), "--name", "models.example.org"])  # behind a proxy on this machine
    assert f"MLFLOW_TRACKING_URI=http://127.0.0.1:{port}" in capsys.readouterr().out
    assert "models.example.org" in started[1][started[1].index("--allowed-hosts") + 1].split(",")


def test_an_address_of_no_device_and_users_without_a_password_are_one_line(started, monkeypatch):
    for host in ("192.0.2.77", "nowhere.example"):
        with pytest.raises(mlflow_server.PortError, match=f"--host {host}: no IPv4 address of this machine") as caught:
            server.main(["--host", host, "--port", str(free_port())])
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(served_users, "find_spec", lambda name: None)
    with pytest.raises(served_users.UsersError, match=r"run `pip install 'mlflow\[auth\]==[0-9.]+'` in .venv"):
        server.main(["--users", "--port", str(free_port())])
    monkeypatch.setattr(served_users, "find_spec", lambda name: name)
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "short")
    with pytest.raises(served_users.UsersError, match="set MLFLOW_AUTH_ADMIN_PASSWORD to a password of at least 12"):
        server.main(["--users", "--port", str(free_port())])
    assert started == []
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "long enough for it")
    server.main(["--users", "--port", str(free_port())])
    assert started[0][-2:] == ["--app-name", "basic-auth"]
