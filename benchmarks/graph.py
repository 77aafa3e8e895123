"""What the whole graph costs, from a fresh clone to its page: `python -m benchmarks.graph [ROW ...]`.

repro-default   CPU time of `make repro` after its installation, of every process, Ray's workers too
repro-noop      CPU time of the same commands when nothing is stale
chapter-smoke   CPU time of `make chapter`, which runs every model of conf/model with the budget smoke

Each row clones the last commit into a temporary folder. The baselines of a row are its seconds of wall time, and the
CPU time by kind of process. A process counts if it has inherited a mark in its environment. Its CPU time is read from
the kernel every LOOK_SECONDS, so a process that ends sooner is missed.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import yaml

from benchmarks import rows
from benchmarks.inputs import Inputs
from pipelines.runtime import paths

LOOK_SECONDS = 0.2
MARK = "GEN_MODELS_BENCHMARK"
COMMANDS = (
    (sys.executable, "-m", "pipelines.cli", "check"),
    (sys.executable, "-m", "pipelines.cli", "play"),
    (sys.executable, "-m", "dvc", "repro"),
)
KINDS = {  # the first pattern that a command line matches says its kind
    "trials, trainings and evaluations": r"ray::ImplicitFunc",
    "Ray itself": r"ray|gcs_server",
    "play: progress, pictures of steps, MLflow": r"pipelines\.(cli|training\.)\S* ?play",
    "check": r"pipelines\.cli check",
    "sweep, train and evaluate, which collect": r"training\.sweep|training\.train|evaluation\.evaluate",
    "prepare": r"data\.prepare",
    "baselines and compare": r"comparison\.",
    "register": r"registry\.",
    "report": r"report\.report",
    "DVC and the rest": r"",
}
FILES = ("dvc.yaml", "conf/config.yaml", "benchmarks/graph.py")

INPUTS = {
    name: Inputs(["benchmarks.graph"], files=(*FILES, params), measures_carriers=True)
    for name, params in {
        "repro-default": "params.yaml",
        "repro-noop": "params.yaml",
        "chapter-smoke": "chapter/params.yaml",
    }.items()
}


class Clock:
    """Counts the CPU seconds of all processes whose environment has a mark, MARK=self.mark, by their command lines."""

    def __init__(self) -> None:
        self.mark = str(time.monotonic_ns())
        self._is_ours: dict[tuple[str, str], bool] = {}
        self._seconds: dict[tuple[str, str], tuple[float, str]] = {}

    def look(self) -> None:
        """Read the clocks of the processes that live now."""
        ticks = os.sysconf("SC_CLK_TCK")
        wanted = f"{MARK}={self.mark}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                key = (folder.name, fields[19])  # the time of its start tells it from an older one of the same number
                if key not in self._is_ours:
                    self._is_ours[key] = wanted in (folder / "environ").read_bytes().split(b"\0")
                if self._is_ours[key]:
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    told = words or self._seconds.get(key, (0.0, ""))[1]
                    self._seconds[key] = ((int(fields[11]) + int(fields[12])) / ticks, told)
            except (OSError, IndexError):  # the process has ended
                continue

    def by_kind(self) -> dict[str, float]:
        """Return {kind: CPU seconds}, the largest first."""
        found: dict[str, float] = defaultdict(float)
        for seconds, words in self._seconds.values():
            found[next(kind for kind, pattern in KINDS.items() if re.search(pattern, words))] += seconds
        return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def cloned(to: Path) -> Path:
    """Clone the last commit of this project into a folder that does not exist yet."""
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(paths.root()), str(to)], check=True)
    return to


def timed(folder: Path, project: Path) -> tuple[float, dict[str, float], float | None]:
    """Run the commands of `make repro` in a project, and return their times.

    Returns (seconds of wall time, {kind of process: CPU seconds}, seconds until the first run was evaluated, or None if
    none was).

    folder: the clone; project: the folder with the params.yaml to run, the clone or its chapter
    """
    clock, began, first = Clock(), time.monotonic(), None
    environment = {**os.environ, "PYTHONPATH": str(folder), MARK: clock.mark}
    environment.pop("GEN_MODELS_ROOT", None)
    for command in COMMANDS:
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            clock.look()
            if first is None and any(project.glob("work/evaluate/*/metrics.json")):
                first = time.monotonic() - began
            time.sleep(LOOK_SECONDS)
        if process.returncode:
            sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return time.monotonic() - began, clock.by_kind(), first


def write(
    name: str, project: Path, target: float, seconds: float, kinds: dict[str, float], first: float | None
) -> None:
    """Write a row from what `timed` returned: seconds, CPU seconds by kind, and seconds to the first evaluated run.

    project: the folder with the params.yaml that was run; target: CPU seconds
    """
    asked = yaml.safe_load((project / "params.yaml").read_text())
    beside = {"wall time, s": seconds, **({"first evaluated run after, s": first} if first else {}), **kinds}
    rows.write(
        name,
        model=f"{len(asked['runs'])} runs",
        data=f"{len(asked['data'])} data sets",
        figure=sum(kinds.values()),
        unit="s of CPU",
        target=target,
        baselines=beside,
        seeds=[asked["seed"]],
        spread=None,
        budget=f"budget {asked['budget']}, after installation",
        seconds=seconds,
        inputs=INPUTS[name],
    )


def default() -> None:
    """Measure the default graph, and then the same commands again when nothing is stale."""
    with tempfile.TemporaryDirectory() as folder:
        project = cloned(Path(folder) / "clone")
        write("repro-default", project, 720.0, *timed(project, project))
        write("repro-noop", project, 10.0, *timed(project, project)[:2], None)


def chapter() -> None:
    """Measure the pipeline of every model."""
    with tempfile.TemporaryDirectory() as folder:
        clone = cloned(Path(folder) / "clone")
        write("chapter-smoke", clone / "chapter", 2400.0, *timed(clone, clone / "chapter"))


ROWS = {"repro-default": default, "chapter-smoke": chapter}

if __name__ == "__main__":
    rows.run(ROWS, prog="python -m benchmarks.graph", description=str(__doc__))
