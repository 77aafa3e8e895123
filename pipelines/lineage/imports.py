"""Follows the import statements of the project's own code, without importing anything.

Imports inside functions are followed too: code that is imported late also decides a result.
"""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines.lineage.hashing import parsed

OWN = ("gen_models", "pipelines", "benchmarks")


@dataclass(frozen=True)
class Closure:
    """The code that entry modules run: they themselves, and all that they import, directly or through others.

    files: {module: file} for the project's own modules; packages: the names of the other packages that they import
    """

    files: dict[str, Path]
    packages: frozenset[str]


class ImportGraph:
    """The imports of the Python code below a project folder; each file is parsed at most once."""

    def __init__(self, root: Path):
        self._root = root
        self._direct: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def closure(self, entries: Iterable[str], *, without: tuple[str, ...] = ()) -> Closure:
        """Return the code that entry modules run: they themselves, and what they import, directly or through others.

        entries: dotted names. A module whose name starts with one of `without` is left out, and its imports are not
        followed. The __init__.py of a package runs when a module inside the package is imported, so it is part of the
        closure.
        """
        files: dict[str, Path] = {}
        packages: set[str] = set()
        waiting = [name for entry in entries for name in self._with_packages(entry)]
        while waiting:
            name = waiting.pop()
            if name in files or name.startswith(without or ("\0",)) or name not in self.modules:
                continue
            files[name] = self.modules[name]
            own, other = self._imports_of(name)
            packages |= other
            waiting += own
        return Closure(files, frozenset(packages))

    @cached_property
    def modules(self) -> dict[str, Path]:
        """{dotted name: file} for every module of the project; the __init__.py of a package has the package's name."""
        found = {}
        for package in OWN:
            for path in (self._root / package).rglob("*.py"):
                parts = path.relative_to(self._root).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return found

    def _imports_of(self, name: str) -> tuple[frozenset[str], frozenset[str]]:
        if name not in self._direct:
            path = self.modules[name]
            tree = parsed(path, path.read_bytes()) or ast.Module([], [])
            named = set(_imported(tree))
            own = {part for one in named if one.split(".")[0] in OWN for part in self._with_packages(one)}
            other = {one.split(".")[0] for one in named if one.split(".")[0] not in OWN}
            self._direct[name] = (frozenset(own), frozenset(other))
        return self._direct[name]

    def _with_packages(self, name: str) -> list[str]:
        """Return, for a dotted name a.b.c, those of a, a.b and a.b.c that are modules of the project.

        The last part of the name may be a function or class.
        """
        parts = name.split(".")
        prefixes = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return [prefix for prefix in prefixes if prefix in self.modules]


def _imported(tree: ast.AST) -> Iterable[str]:
    """Yield the dotted names in a syntax tree's import statements; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
