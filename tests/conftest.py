"""Every shape in a signature of gen_models is checked at each call; drawn examples are the same in every run.

`make fuzz` draws others each time.
"""

import hypothesis
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook names it, and looks it up without importing it

install_import_hook("gen_models", "tests.typecheck.checker")

hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")
