"""Every shape in a signature of gen_models is checked at each call; drawn examples are the same in every run.

`make fuzz` draws others each time. Networks of tests are so small that a second thread would only wait for the first.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook names it, and looks it up without importing it

install_import_hook("gen_models", "tests.typecheck.checker")

hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")
