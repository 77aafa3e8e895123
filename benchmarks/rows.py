"""A benchmark's row as a result file, and which rows went stale.

`inputs` is the hash of the code and conf that the row ran on: `python -m benchmarks.rows` lists the rows
whose hash no longer is that of the project's files, or whose versions of PACKAGES are no longer installed.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError, unknown
from pipelines import lineage
from pipelines.runtime import paths

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
    inputs: Sequence[str],
    command: str | None = None,
) -> dict[str, Any]:
    """Write benchmarks/results/NAME.json and print its line; `command` is the one that is running if none is given."""
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
        "commit": lineage.git_commit(),
        "command": command or "python -m " + " ".join([_module(), *sys.argv[1:]]),
        "inputs": inputs_sha256(inputs),
        "inputs_of": list(inputs),
    }
    path = paths.root() / "benchmarks" / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row, indent=1) + "\n")
    print(f"{name}: {figure:.4g} {unit}, target {target:g} ({'met' if row['met'] else 'MISSED'})", flush=True)
    return row


def run(measures: Mapping[str, Callable[[], None]], *, prog: str, description: str) -> None:
    """A command that measures the rows it is given, or all of them, one after the other."""
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=about)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="all, if none is named: " + ", ".join(measures))
    chosen = parser.parse_args().rows or list(measures)
    for name in chosen:
        if name not in measures:
            parser.error(unknown("row", name, measures))
    for name in chosen:
        try:
            measures[name]()
        except GenModelsError as error:
            sys.exit(f"{name}: {error}")


def inputs_sha256(inputs: Sequence[str]) -> str:
    """The hash of files and folders of the project, as they are now."""
    facts = {}
    for name in inputs:
        path = paths.root() / name
        files = [p for p in sorted(path.rglob("*")) if p.suffix in (".py", ".yaml")] if path.is_dir() else [path]
        facts |= {str(p.relative_to(paths.root())): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    return lineage.sha256_json(facts)


def stale() -> list[str]:
    """The names of the rows whose inputs or versions have changed since they ran."""
    rows = [json.loads(path.read_text()) for path in sorted((paths.root() / "benchmarks/results").glob("*.json"))]
    now = {package: version(package) for package in PACKAGES}  # not Python's: its patches come and go

    def is_stale(row: Mapping[str, Any]) -> bool:
        return inputs_sha256(row["inputs_of"]) != row["inputs"] or any(row["versions"][p] != now[p] for p in now)

    return [row["name"] for row in rows if is_stale(row)]


def versions() -> dict[str, str]:
    """Of Python and of PACKAGES."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def device() -> str:
    """The machine, in words."""
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
