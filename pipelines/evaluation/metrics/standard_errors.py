"""Standard errors that follow from other numbers of an evaluation: of bits, and of shares of rows or samples."""

import math
from collections.abc import Mapping

NORMAL_95 = 1.96  # standard errors from the middle of a 95% interval to its end
MOST_ROWS, MODE_SAMPLES = 1000, 2500  # of the tests of samples (two_sample.py), and of the search for modes
SHARES = ("precision", "recall", "coverage", "high_quality")


def error_of(low: float, high: float) -> float:
    """Return the standard error that a 95% interval stands for."""
    return (high - low) / (2 * NORMAL_95)


def standard_errors(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return {NAME_error: the standard error of the metric NAME}, of bits and of shares. metrics: {name: value}"""
    found = {}
    for name in ("bits_per_dim", "bits_per_dim_iw50"):
        if name in metrics and "nats_error" in metrics and metrics.get("dims"):
            found[f"{name}_error"] = metrics["nats_error"] / (metrics["dims"] * math.log(2))
    for name in SHARES:
        if name in metrics and metrics.get("rows"):
            rows = MODE_SAMPLES if name == "high_quality" else min(metrics["rows"], MOST_ROWS)
            share = min(max(metrics[name], 0.5 / rows), 1 - 0.5 / rows)
            found[f"{name}_error"] = math.sqrt(share * (1 - share) / rows)
    return found
