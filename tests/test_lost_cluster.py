"""A cluster that ends, or loses its machines, under a play: the play ends within minutes, with a line that helps."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.project import environment, make_project

pytestmark = pytest.mark.slow
PATIENCE = 150.0


class Cluster:
    """Nodes on this machine that `ray start` started; the first has the cluster's head."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{unused.getsockname()[1]}"

    def add_node(self, cpus: int) -> list[psutil.Process]:
        """Start a node; return its processes."""
        before = self.processes()
        port = self.address.partition(":")[2]
        where = (
            ["--address", self.address]
            if before
            else ["--head", "--port", port, "--temp-dir", str(self.folder), "--include-dashboard", "false"]
        )
        command = ["ray", "start", *where, "--num-cpus", str(cpus), "--node-ip-address", "127.0.0.1"]
        quiet = {**environment(self.folder), "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(self.folder)}
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return [process for process in self.processes() if process not in before]

    def processes(self) -> list[psutil.Process]:
        """All processes of the cluster's nodes, but not its workers."""
        found = []
        for process in psutil.process_iter():
            try:
                if any(str(self.folder) in word for word in process.cmdline()):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(f"/tmp/gm-{os.getpid()}-{time.monotonic_ns() % 10**6}")  # short enough for sockets
    folder.mkdir(mode=0o700)
    made = Cluster(folder)
    yield made
    while left := made.processes():
        for process in left:
            process.kill()
        psutil.wait_procs(left, 10)
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        (
            "raylet",
            r"error: Ray has ended on this machine, not at \S+; run `ray start --address=\S+` here, then repeat ",
        ),
        ("gcs_server", r"error: the cluster \S+ has ended, or is not reachable any more; start it, then repeat "),
        (
            "a node",
            r"error: the cluster \S+ has lost the room for a trial \(1 CPU\): 1 of its nodes are left, .*; add a ",
        ),
    ],
)
def test_a_cluster_that_is_lost_under_a_play_is_told_in_one_line(cluster, tmp_path, lost, says):
    budget = {"trial_steps": 20_000, "steps": 20_000}
    project = make_project(tmp_path / "project", budget=budget)
    first = cluster.add_node(0 if lost == "a node" else 2)
    second = cluster.add_node(2) if lost == "a node" else []
    variables = {**environment(project), "RAY_ADDRESS": cluster.address}
    subprocess.run(["gen-models", "prepare", "digits"], cwd=project, env=variables, check=True, capture_output=True)
    with (tmp_path / "said").open("w") as file:
        play = subprocess.Popen(["gen-models", "play"], cwd=project, env=variables, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + PATIENCE
        while not any(project.glob("work/sweep/*/*/history.jsonl")):
            assert play.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.5)
        for process in second or [process for process in first if process.name() == lost]:
            process.kill()
        code = play.wait(PATIENCE)
    finally:
        play.kill()
    said = (tmp_path / "said").read_text()
    assert code == 1 and "Traceback" not in said, said
    assert re.search(says, said.splitlines()[-1]), said
