"""The shapes in gen_models' signatures are checked in some tests; drawn examples are the same in every run.

A check takes longer than many of the calls. The laws ask the same functions of every model in many tests; shapes are
checked in a fifteenth of these, chosen by their names, and in a sixth of the tests that have one case. `make fuzz`
checks shapes in all tests and draws other examples each time. Networks of tests are so small that a second thread would
only wait for the first.
"""

import gc
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import hypothesis
import jaxtyping
import pytest
import torch
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook names it, and looks it up without importing it

install_import_hook("gen_models", "tests.typecheck.checker")

hypothesis.settings.register_profile("same", derandomize=True, deadline=None, max_examples=20)
hypothesis.settings.load_profile("same")
jaxtyping.config.update("jaxtyping_disable", True)  # until a test is checked: what modules compute at import is not
CHECKED, CHECKED_OF_MANY = 6, 15  # shapes are checked in one test of so many; of a law's cases in one of so many


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what the imports made out of the collections of garbage, which are a twentieth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class Evaluated(NamedTuple):
    """root: a project of tests/trained.py after evaluate, baselines and compare; said: what these printed."""

    root: Path
    said: str


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """The trained project after the stages that only measure; a test file works in a copy of it."""
    from pipelines.comparison import baselines, compare
    from pipelines.evaluation import evaluate
    from tests.trained import DATA, RUNS, be_quick, make_trained_project

    root = make_trained_project(tmp_path_factory.mktemp("evaluated") / "project", RUNS, DATA)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        be_quick(patch)
        for key in RUNS:
            evaluate.main([key])
        for name in DATA:
            baselines.main([name])
        compare.main([])
    return Evaluated(root, said.getvalue())


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Start each test with one thread: evaluation sets two for the process, and they would spin in all later tests."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def shapes_are_checked(request: pytest.FixtureRequest) -> None:
    """Check shapes in this test, or leave it out, by its name; all are checked where examples are drawn anew."""
    is_fuzz = request.config.getoption("--hypothesis-profile", None) == "default"
    share = CHECKED_OF_MANY if hasattr(request.node, "callspec") else CHECKED
    jaxtyping.config.update("jaxtyping_disable", not is_fuzz and crc32(request.node.nodeid.encode()) % share != 0)
