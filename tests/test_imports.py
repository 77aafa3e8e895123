"""What each stage imports before its first work, so that no stage pays seconds for a library that it does not use."""

import json
import subprocess
import sys

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


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_slow_library_that_it_can_do_without(stage):
    code = f"import sys, json, {STAGES[stage].module}; print(json.dumps(sorted(set({SLOW!r}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) <= EXPECTED[stage]
