"""What each stage imports before its first work, so that no stage pays seconds for a library that it does not use.

A stage's module is imported in a process that is forked where the stages that may import less are imported already: to
start Python and to import torch takes longer than all the rest.
"""

import ast
import builtins
import itertools
import json
import subprocess
import symtable
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from pipelines.cli import STAGES
from tests.project import HERE

SLOW = ("torch", "ray", "mlflow", "sklearn", "scipy", "matplotlib", "pandas", "pyarrow", "hydra")
EXPECTED = {
    "code": set(),
    "prepare": {"torch", "scipy", "pyarrow"},  # noise and known densities; Parquet
    "sweep": {"hydra"},  # a sweep or training that is already there is only collected
    "train": {"hydra"},
    "evaluate": set(),
    "baselines": set(SLOW) - {"ray", "mlflow", "hydra"},
    "compare": set(SLOW) - {"ray", "mlflow", "hydra"},
    "register": {"mlflow", "torch", "scipy", "matplotlib", "pandas", "pyarrow"},
    "report": set(),
}
PATHS = [  # imported one after the other, each from the fork of the longest beginning that it shares with another
    ("code", "evaluate", "report", "sweep", "train"),
    ("code", "evaluate", "report", "prepare", "register"),
    ("code", "evaluate", "report", "prepare", "baselines", "compare"),
]


def test_a_stage_imports_no_slow_library_that_it_can_do_without():
    found = printed(
        f"""
        import importlib, os
        modules = { ({stage: STAGES[stage].module for stage in STAGES}) }
        found = {{}}
        def walk(paths):
            for first in dict.fromkeys(path[0] for path in paths if path):
                read, write = os.pipe()
                if os.fork():
                    os.close(write)
                    with open(read) as file:
                        found.update(json.load(file))
                    os.wait()
                    continue
                importlib.import_module(modules[first])
                found[first] = sorted(set({SLOW}) & set(sys.modules))
                walk([path[1:] for path in paths if path[:1] == (first,)])
                with open(write, "w") as file:
                    json.dump(found, file)
                os._exit(0)
        walk({PATHS})
        """
    )
    assert set(found) == set(STAGES)
    for path in PATHS:
        for before, stage in itertools.pairwise(path):
            assert EXPECTED[before] <= EXPECTED[stage]  # else what is imported before would hide an import
    for stage, imported in found.items():
        assert set(imported) <= EXPECTED[stage], stage


def printed(code: str) -> Any:
    """Return what a fresh Python finds: the value of `found` after the code."""
    code = f"import json, sys\n{dedent(code)}\nprint(json.dumps(found), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    return json.loads(done.stderr.splitlines()[-1])


def undefined_names(path: Path) -> set[str]:
    """The global names that a file uses and nothing in it defines; the linter cannot, for the shapes in annotations."""
    text = path.read_text().replace("from __future__ import annotations\n", "")  # which hides them from the table
    module = symtable.symtable(text, path.name, "exec")
    scopes = [module]
    for scope in scopes:
        scopes += scope.get_children()
    symbols = [symbol for scope in scopes for symbol in scope.get_symbols() if scope is module or symbol.is_global()]
    made = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    made |= {symbol.get_name() for symbol in module.get_symbols() if symbol.is_namespace()}
    known = made | set(dir(builtins)) | {"__file__"}
    return {symbol.get_name() for symbol in symbols if symbol.is_referenced()} - known


def test_every_name_that_code_uses_is_defined(tmp_path):
    folders = ("gen_models", "gen_models_sklearn", "pipelines", "benchmarks", "tests")
    files = [*HERE.glob("*.py"), *(path for folder in folders for path in (HERE / folder).rglob("*.py"))]
    found = {str(path.relative_to(HERE)): names for path in files if (names := undefined_names(path))}
    assert not found
    (tmp_path / "bad.py").write_text("import os\n\n\ndef f(x: Any):\n    return [os.sep + y + z for y in x]\n")
    assert undefined_names(tmp_path / "bad.py") == {"Any", "z"}


def imports_of_ray(tree: ast.AST) -> set[int]:
    """Return the lines of a tree that import Ray."""
    names = {node.lineno: [one.name for one in node.names] for node in ast.walk(tree) if isinstance(node, ast.Import)}
    names |= {node.lineno: [node.module or ""] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {line for line, modules in names.items() if any(name.partition(".")[0] == "ray" for name in modules)}


def test_who_asks_for_a_cluster_imports_nothing_of_ray_before():
    """Ray reads its settings, which `cluster` makes, when it is imported: a local cluster would refuse its driver."""
    found = {}
    for path in (HERE / "pipelines").rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                blocks = [
                    node
                    for node in ast.walk(function)
                    if isinstance(node, ast.With) and "cluster(" in ast.unparse(node.items[-1])
                ]
                if blocks:
                    inside = set().union(*(imports_of_ray(block) for block in blocks))
                    found[f"{path.stem}.{function.name}"] = imports_of_ray(function) - inside
    assert {"ray_play.play_training", "ray_play.play_asha"} <= found.keys()
    assert not any(found.values()), found
