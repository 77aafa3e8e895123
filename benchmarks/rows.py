"""Writes a row of a benchmark to its result file, and finds rows that are stale.

A row's `inputs` is the hash of the code, the conf and the versions of the libraries with which it was measured.
`python -m benchmarks.rows` lists the stale rows: those whose hash is no longer that of the project's files.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.inputs import Inputs, inputs_from
from gen_models.errors import GenModelsError, unknown
from pipelines.lineage.facts import git_commit
from pipelines.runtime import paths

_asked: list[str] = []  # the row that `run` measures now
PACKAGES = ("torch", "ray", "mlflow", "dvc")


def write(
    name: str,
    *,
    model: str,
    data: str,
    figure: float,
    unit: str,
    target: float,
    better: str = "lower",
    baselines: Mapping[str, float],
    seeds: Sequence[int],
    spread: float | None,
    budget: str,
    seconds: float,
    inputs: Inputs,
    command: str | None = None,
) -> dict[str, Any]:
    """Write benchmarks/results/NAME.json, print its line and return its content.

    figure, unit     the measured number
    target, better   the number that it should reach; "lower" or "higher"
    baselines        {name: number} of other numbers to compare with, in any unit
    spread           how far the figure may be off, or None
    budget           how much was trained or measured, in words
    command          the command that measures the row again; None: the one that is running
    """
    assert better in ("lower", "higher"), better
    row = {
        "name": name,
        "model": model,
        "data": data,
        "figure": figure,
        "unit": unit,
        "better": better,
        "target": target,
        "met": figure <= target if better == "lower" else figure >= target,
        "baselines": dict(baselines),
        "seeds": list(seeds),
        "spread": spread,
        "budget": budget,
        "seconds": round(seconds, 1),
        "device": device(),
        "versions": versions(),
        "commit": git_commit(),
        "command": command or " ".join(["python -m", _module(), *(_asked or sys.argv[1:])]),
        "inputs": inputs.sha256(),
        "inputs_of": inputs.as_json(),
    }
    path = paths.root() / "benchmarks" / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row, indent=1) + "\n")
    print(f"{name}: {figure:.4g} {unit}, target {target:g} ({'met' if row['met'] else 'MISSED'})", flush=True)
    return row


def run(measures: Mapping[str, Callable[[], None]], *, prog: str, description: str) -> None:
    """Run a command that measures the rows named on its command line, or all rows, one after the other.

    measures: {row: the function that measures it and writes its file}
    """
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=about)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="all, if none is named: " + ", ".join(measures))
    chosen = parser.parse_args().rows or list(measures)
    for name in chosen:
        if name not in measures:
            parser.error(unknown("row", name, measures))
    for name in chosen:
        _asked[:] = [name]
        try:
            measures[name]()
        except GenModelsError as error:
            sys.exit(f"{name}: {error}")


def stale() -> list[str]:
    """Return the names of the rows whose inputs have changed since they were measured."""
    rows = [json.loads(path.read_text()) for path in sorted((paths.root() / "benchmarks/results").glob("*.json"))]
    return [row["name"] for row in rows if not _is_fresh(row)]


def _is_fresh(row: Mapping[str, Any]) -> bool:
    try:
        return inputs_from(row["inputs_of"]).sha256() == row["inputs"]
    except (OSError, KeyError):  # a file or a data set that is no longer there
        return False


def versions() -> dict[str, str]:
    """Return the versions of Python and of PACKAGES."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def device() -> str:
    """Return the machine's processors in words: "2 x MODEL"."""
    model = next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), "CPU")
    return f"{os.cpu_count()} x {model}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else Path(sys.argv[0]).name


if __name__ == "__main__":
    for name in stale():
        print(f"stale: {name}")
