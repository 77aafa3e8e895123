"""Writes numbers, settings, hashes and commits as text for people, and the address of a model in MLflow."""

import math
import os
import re
from typing import Any
from urllib.parse import quote

MINUS = "\N{MINUS SIGN}"
MLFLOW = "http://127.0.0.1:5000"  # where `make ui` serves it


def decimal(value: float, decimals: int | None) -> str:
    """Return a number as text with `decimals` decimals or, if `decimals` is None, with three significant digits.

    The minus sign is the typographic one, and zero has none.
    """
    if decimals is None:
        decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:.{max(0, decimals)}f}"
    return text.lstrip("-") if not float(text) else text.replace("-", MINUS)


def significant(value: float) -> str:
    """Return a measured value with four significant digits, including zeros at the end."""
    return f"{value:#.4g}".rstrip(".").replace("-", MINUS)


def spread(mean: float, sd: float) -> str:
    """Return a mean with its standard deviation, both with the decimals of two digits of the standard deviation."""
    if not (math.isfinite(sd) and sd > 0):
        return f"{significant(mean)} ± {significant(sd)}"
    decimals = max(0, 1 - math.floor(math.log10(float(f"{sd:.1e}"))))
    return f"{decimal(mean, decimals)} ± {decimal(sd, decimals)}"


def setting(value: Any) -> str:
    """Return a setting as text, a float with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def short(sha256: str) -> str:
    """Return the first twelve digits of a hash, which are enough to recognise it and to search for it."""
    return str(sha256)[:12]


def commit(name: str) -> str:
    """Return a git commit as text for people. name: as lineage.json has it, "none" outside git"""
    if name == "none":
        return "outside git"
    digits, plus, changes = name.partition("+")
    return digits[:12] + (" with changes that are not committed" if plus and changes else "")


def model_page(key: str) -> str:
    """Return the address of a run's registered model in MLflow, which lists its versions and their runs."""
    return f"{mlflow_address()}/#/models/{quote(key, safe='')}"


def mlflow_address() -> str:
    """Return where a browser finds MLflow: the server of MLFLOW_TRACKING_URI, without name and password, or `make ui`.

    A report keeps the address that it was made with; `gen-models report` writes it anew.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    return re.sub(r"//[^/@]*@", "//", named.rstrip("/")) if named.startswith(("http://", "https://")) else MLFLOW
