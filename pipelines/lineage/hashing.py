"""Hashes of values and files. `source_sha256` of a Python file ignores its docstrings, comments and layout."""

import ast
import hashlib
import json
from pathlib import Path
from typing import Any


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in which keys are sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_sha256(path: Path) -> str:
    """Return the SHA-256 of a Python file's syntax tree without docstrings; comments and layout do not change it.

    A file that is not Python, or does not parse, is hashed by its bytes.
    """
    content = path.read_bytes()
    tree = parsed(path, content)
    if tree is not None:
        content = ast.dump(_without_docstrings(tree)).encode()
    return hashlib.sha256(content).hexdigest()


def parsed(path: Path, content: bytes) -> ast.Module | None:
    """Return the syntax tree of a Python file, or None for another kind of file or one that does not parse."""
    if path.suffix != ".py":
        return None
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError):
        return None


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree
