"""What more machines save: `python -m benchmarks.nodes`, which plays the default graph twice, in clones of this commit.

graph-on-two-nodes   the time that `gen-models play` takes on a Ray cluster of one node with one core, over its time on
                     two nodes with one core each. The processes of a node are pinned to its core; the driver shares the
                     core of the first node. Among the baselines are times from a simulation, in which every job takes
                     as long as it took on two nodes, and starts in the order of `play` as soon as a core is free; 8 and
                     64 nodes with one core each are simulated too
"""

import heapq
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import rows
from benchmarks.graph import cloned
from benchmarks.inputs import Inputs
from pipelines.training.in_play import EVALUATION, TRAINING, TRIAL

PORT = 6390
CORES = (8, 64)
RANK = {EVALUATION: 0, TRAINING: 1, TRIAL: 2}  # what is nearer to a result comes first, as in `play`
INPUTS = Inputs(["benchmarks.nodes"], files=("params.yaml", "conf/config.yaml"), measures_carriers=True)
Took = tuple[str, str, int, str, float]  # kind, owner, round, the sweep that it needs, seconds


def measure() -> None:
    """Write the row graph-on-two-nodes."""
    began, seconds, took = time.monotonic(), {}, []
    for nodes in (1, 2):
        with tempfile.TemporaryDirectory(prefix="gm") as folder:
            project = cloned(Path(folder) / "clone")
            with started(nodes, Path(folder) / "ray") as environment:
                environment["PYTHONPATH"] = str(project)
                call = [sys.executable, "-m", "pipelines.cli"]
                prepare = [sys.executable, "-m", "dvc", "repro", "--quiet", "prepare"]
                subprocess.run(["taskset", "-c", "0", *prepare], cwd=project, env=environment, check=True)
                start = time.monotonic()
                subprocess.run(["taskset", "-c", "0", *call, "play"], cwd=project, env=environment, check=True)
                seconds[nodes] = time.monotonic() - start
            took = [tuple(line) for line in json.loads((project / "work" / "played.json").read_text())]
    simulated = {cores: simulate(took, cores) for cores in (1, 2, *CORES)}
    rows.write(
        "graph-on-two-nodes",
        model="14 runs",
        data="6 data sets",
        figure=seconds[1] / seconds[2],
        unit="x as fast as one node",
        target=1.7,
        better="higher",
        baselines={
            "one node, s": seconds[1],
            "two nodes, s": seconds[2],
            **{f"simulated, {cores} nodes, s": found for cores, found in simulated.items()},
            "the longest chain of jobs, s": simulate(took, len(took)),
        },
        seeds=[0],
        spread=None,
        budget="budget quick, after `prepare`",
        seconds=time.monotonic() - began,
        inputs=INPUTS,
    )


@contextmanager
def started(nodes: int, folder: Path) -> Iterator[dict[str, str]]:
    """Start a Ray cluster of nodes with one core each on this machine, and yield the environment of its driver.

    nodes: how many; folder: the folder for Ray's temporary files
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "GEN_MODELS"))}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    address = f"127.0.0.1:{PORT}"
    head = [
        "--head",
        f"--port={PORT}",
        "--node-ip-address=127.0.0.1",
        "--include-dashboard=false",
        f"--temp-dir={folder}",
    ]
    processes = []
    try:
        for node in range(nodes):
            words = head if node == 0 else [f"--address={address}"]
            command = ["taskset", "-c", str(node), "ray", "start", *words, "--num-cpus=1", "--block"]
            with (folder.parent / f"node{node}.log").open("w") as log:
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            time.sleep(10)
        yield environment | {"RAY_ADDRESS": address}
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(60)


def simulate(took: Sequence[Took], cores: int) -> float:
    """Return the seconds that jobs take on `cores` cores.

    A round of a sweep waits for the round before, a training for its sweep, and an evaluation for its training.
    """
    left: dict[tuple[str, str, int], int] = defaultdict(int)  # {(kind, owner, round): jobs that have not ended}
    for kind, owner, number, _, _ in took:
        left[kind, owner, number] += 1

    def is_ready(job: Took) -> bool:
        kind, owner, number, sweep, _ = job
        if kind == TRIAL:
            return not any(left[TRIAL, owner, before] for before in range(number))
        if kind == TRAINING:
            return not any(left[key] for key in list(left) if key[:2] == (TRIAL, sweep))
        return not left[TRAINING, owner, 0]

    waiting, running, now = sorted(took, key=lambda job: RANK[job[0]]), [], 0.0
    while waiting or running:
        for job in [job for job in waiting if is_ready(job)][: cores - len(running)]:
            waiting.remove(job)
            heapq.heappush(running, (now + job[4], job))
        now, (kind, owner, number, _, _) = heapq.heappop(running)
        left[kind, owner, number] -= 1
    return now


if __name__ == "__main__":
    rows.run({"graph-on-two-nodes": measure}, prog="python -m benchmarks.nodes", description=str(__doc__))
