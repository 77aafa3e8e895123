"""What each stage imports before its first work, so that no stage pays seconds for a library that it does not use.

A stage's module is imported after those that may import less, in one process for several: to start Python and to import
torch takes longer than all the rest.
"""

import json
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest

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
TOGETHER = [("code", "evaluate", "report", "sweep", "train"), ("prepare", "register"), ("baselines", "compare")]


@pytest.mark.parametrize("stages", TOGETHER, ids="-".join)
def test_a_stage_imports_no_slow_library_that_it_can_do_without(stages):
    found = printed(
        f"""
        import importlib
        found = []
        for module in {[STAGES[stage].module for stage in stages]}:
            importlib.import_module(module)
            found.append(sorted(set({SLOW}) & set(sys.modules)))
        """
    )
    for stage, before, imported in zip(stages, [stages[0], *stages], found, strict=False):
        assert EXPECTED[before] <= EXPECTED[stage]  # else what is imported before would hide an import
        assert set(imported) <= EXPECTED[stage], stage


def test_every_stage_is_imported_once():
    assert sorted(stage for stages in TOGETHER for stage in stages) == sorted(STAGES)


def printed(code: str) -> Any:
    """Return what a fresh Python finds: the value of `found` after the code."""
    code = f"import json, sys\n{dedent(code)}\nprint(json.dumps(found), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    return json.loads(done.stderr.splitlines()[-1])
