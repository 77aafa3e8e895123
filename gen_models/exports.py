"""Names that a package offers from its modules, each imported when it is first asked for.

The names are listed in the package's `__init__.pyi`, in lines such as

    from gen_models.flows.glow import Glow as Glow

which editors and mypy read in place of `__init__.py`. So `import gen_models` imports no torch, and a stage depends on
the code of its own models only: a new name in the list changes no file on which other models' results depend.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def exports(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return the `__getattr__`, `__dir__` and `__all__` of a package, given its `__name__` and `__file__`."""
    modules = _modules(Path(file).with_suffix(".pyi"))

    def get(name: str) -> Any:
        if name not in modules:
            if (
                name.isidentifier() and importlib.util.find_spec(f"{package}.{name}") is not None
            ):  # gen_models.flows, after import gen_models
                return importlib.import_module(f"{package}.{name}")
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}; it offers {', '.join(sorted(modules))}"
            )
        return getattr(importlib.import_module(modules[name]), name)

    return get, lambda: sorted({*modules, *vars(sys.modules[package])}), sorted(modules)


def _modules(stub: Path) -> dict[str, str]:
    """Return {name: its module} for the names that a stub file imports."""
    statements = ast.parse(stub.read_text()).body
    lines = [line for line in statements if isinstance(line, ast.ImportFrom)]
    return {name.asname or name.name: str(line.module) for line in lines for name in line.names}
