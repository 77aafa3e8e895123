"""The shapes in gen_models' signatures are checked in every third test; drawn examples are the same in every run.

A check takes longer than many of the calls. The laws ask the same functions of every model in many tests, and a third
of these, chosen by their names, reaches each function. `make fuzz` checks shapes in all tests and draws other examples
each time. Networks of tests are so small that a second thread would only wait for the first.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from zlib import crc32

import hypothesis
import jaxtyping
import pytest
import torch
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook names it, and looks it up without importing it

install_import_hook("gen_models", "tests.typecheck.checker")

hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")
CHECKED = 3  # shapes are checked in one test of so many


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Start each test with one thread: evaluation sets two for the process, and they would spin in all later tests."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def shapes_are_checked(request: pytest.FixtureRequest) -> None:
    """Check shapes in this test, or leave it out, by its name; all are checked where examples are drawn anew."""
    is_fuzz = request.config.getoption("--hypothesis-profile", None) == "default"
    jaxtyping.config.update("jaxtyping_disable", not is_fuzz and crc32(request.node.nodeid.encode()) % CHECKED != 0)
