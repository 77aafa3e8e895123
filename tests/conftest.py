"""Under pytest every shape in a signature of gen_models is checked, at each call."""

from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook names it, and looks it up without importing it

install_import_hook("gen_models", "tests.typecheck.checker")
