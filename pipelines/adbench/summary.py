"""Sums up a benchmark of detectors: means over tables, intervals of paired differences, and mean ranks.

The result of a detector on a table is its mean over seeds. An interval is made by the bootstrap over tables (Efron,
1979). Detectors are ranked on each table, and their mean ranks (Friedman) are compared by Nemenyi's critical difference
at 5% (Demsar, 2006): two detectors whose mean ranks differ by less cannot be told apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata, studentized_range

DRAWS = 20_000
LEVEL = 0.95
MEASURES = ("auroc", "average_precision", "auroc_without_copies")
PARTS = {"odd": (1,), "even": (0,), "all": (0, 1)}  # detectors were developed on odd tables, even ones confirm them
NEIGHBOURS = ("knn1", "knn5")


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a summary of the tables with odd numbers, of those with even numbers, and of all.

    results: of each case {"table", "number", "seed", "detector", "auroc", "average_precision", "auroc_without_copies",
    "seconds"}, where number is the table's

    Returns {"odd", "even" or "all": summary}; a part without tables is left out. A summary has

        tables               how many tables there are
        detectors            {detector: means over tables of each of MEASURES, mean rank, spread over seeds, and the
                             CPU seconds of all its cases together}
        critical_difference  the difference of mean ranks below which detectors cannot be told apart
        above_neighbours     for each detector but knn1 and knn5, how far it is above the better of these two
    """
    found = {}
    for part, keep in PARTS.items():
        chosen = [row for row in results if row["number"] % 2 in keep]
        if chosen:
            found[part] = _of_part(chosen)
    return found


def by_table(results: Sequence[dict[str, Any]], measure: str) -> tuple[list[str], list[str], np.ndarray]:
    """Return (names of tables, names of detectors, array): the array has shape (tables, detectors).

    An entry is the mean over seeds of a measure, one of MEASURES, for a detector on a table.
    """
    tables = [name for _, name in sorted({(row["number"], row["table"]) for row in results})]
    detectors = list(dict.fromkeys(row["detector"] for row in results))
    values: dict[tuple[str, str], list[float]] = {}
    for row in results:
        values.setdefault((row["table"], row["detector"]), []).append(row[measure])
    return tables, detectors, np.array([[np.mean(values[t, d]) for d in detectors] for t in tables])


def _of_part(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    means = {measure: by_table(results, measure) for measure in MEASURES}
    tables, detectors, areas = means["auroc"]
    seconds = {name: sum(row["seconds"] for row in results if row["detector"] == name) for name in detectors}
    spread = {name: _spread(results, name) for name in detectors}
    ranks = np.mean([rankdata(-row) for row in areas], axis=0)
    k = len(detectors)
    critical = float(studentized_range.ppf(LEVEL, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * len(tables))))
    return {
        "tables": len(tables),
        "detectors": {
            name: {
                **{measure: float(values[2][:, j].mean()) for measure, values in means.items()},
                "rank": float(ranks[j]),
                "spread_over_seeds": spread[name],
                "seconds": seconds[name],
            }
            for j, name in enumerate(detectors)
        },
        "critical_difference": critical,
        "above_neighbours": _above(detectors, {m: values[2] for m, values in means.items()}),
    }


def _above(detectors: Sequence[str], means: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Return, for each detector but knn1 and knn5, how far it is above the better of these two, with an interval.

    means: {measure: means over seeds, (tables, detectors)}. The better of the two has the larger mean over tables.

    Returns {detector: {measure: {"over": knn1 or knn5, "gain": mean over tables of the difference, "low", "high"}}}, or
    {} if one of these two is missing.
    """
    found: dict[str, dict[str, Any]] = {}
    if not set(NEIGHBOURS) <= set(detectors):
        return found
    for name in (name for name in detectors if name not in NEIGHBOURS):
        found[name] = {}
        for measure, values in means.items():
            of_neighbours = {one: float(values[:, detectors.index(one)].mean()) for one in NEIGHBOURS}
            best = max(of_neighbours, key=lambda one: of_neighbours[one])
            gain = values[:, detectors.index(name)] - values[:, detectors.index(best)]
            low, high = interval(gain)
            found[name][measure] = {"over": best, "gain": float(gain.mean()), "low": low, "high": high}
    return found


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the bootstrap interval (low, high) of the mean of values over tables, by DRAWS draws of tables.

    values: (tables,); level: the confidence
    """
    draws = values[np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _spread(results: Sequence[dict[str, Any]], name: str) -> float:
    """Return how far a detector's result depends on the seed.

    It is the largest minus the smallest, over seeds, of the mean over tables of the area under the ROC curve.
    """
    seeds = sorted({row["seed"] for row in results})
    means = [
        np.mean([row["auroc"] for row in results if row["detector"] == name and row["seed"] == seed]) for seed in seeds
    ]
    return float(max(means) - min(means))
