"""Leaderboards: which numbers stand beside each other, and which is best.

A column is best where it is lowest, highest, or nearest to the value that a perfect model has. Only runs on the same
data are compared. A best of one is not marked, and a number that is not finite is never best.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.columns import COLUMNS, MINUS, Better, Column
from pipelines.report.read import Results, Row, RunResult

FACTS = ("name", "title", "unit", "better", "about")  # of a column, for machines


@dataclass(frozen=True)
class Cell:
    """What stands in a place of a table: the number as text, what qualifies it, and what to read it beside."""

    text: str
    is_bound: bool = False
    is_best: bool = False
    error: str = ""
    interval: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Table:
    """A data set's leaderboard: the columns that any of its runs has, and a row {column: Cell or None} a run.

    best: {column: the best runs}; beside: {column: its reference} where that is the same for all runs
    """

    columns: list[Column]
    rows: dict[str, dict[str, Cell | None]]
    best: dict[str, list[str]]
    beside: dict[str, str]


def table(results: Results, data: str) -> Table:
    """The leaderboard of a data set."""
    runs = {run.line.key: run for run in results.runs_on(data)}
    numbers = {key: numbers_of(results, key) for key in runs}
    on_levels = results.data[data]["levels"] is not None
    rows: dict[str, dict[str, Cell | None]] = {key: {} for key in runs}
    columns, best, beside = [], {}, {}
    for column in COLUMNS:
        values = {key: row[column.name] for key, row in numbers.items() if column.name in row}
        if not values and all(column.name not in run.not_finite for run in runs.values()):
            continue
        columns.append(column)
        best[column.name] = best_of(values, column.better) if column.is_ranked else []
        decimals = _decimals(column, list(numbers.values()))
        for key, run in runs.items():
            rows[key][column.name] = _cell(column, run, numbers[key], on_levels, key in best[column.name], decimals)
        references = {cell.reference for row in rows.values() if (cell := row[column.name]) and cell.reference}
        if len(references) == 1:
            beside[column.name] = references.pop()
    return Table(columns, rows, best, beside)


def best_of(values: Mapping[str, float], better: Better) -> list[str]:
    """The runs whose value is best, all that tie; none where there is nothing to compare."""
    if len(values) < 2:
        return []
    sign = {"lower": 1.0, "higher": -1.0}
    loss = {k: sign[better] * v if isinstance(better, str) else abs(v - better) for k, v in values.items()}
    return [key for key, value in loss.items() if value == min(loss.values())]


def numbers_of(results: Results, key: str) -> dict[str, float]:
    """All numbers of a run by the names of COLUMNS: evaluate's, its best anomaly score's, its clusters'."""
    run = results.runs[key]
    numbers = dict(run.metrics)
    if detected := best_score(results, key, run.line.data):
        pca = best_score(results, "pca", run.line.data)
        numbers |= {"auroc": detected["auroc"], "auroc_low": detected["low"], "auroc_high": detected["high"]}
        numbers |= {"auroc_pca": pca["auroc"]} if pca else {}
    own, raw = clusters_of(results, run.line.data, key), clusters_of(results, run.line.data, None)
    for name in ("acc", "nmi", "ari"):
        if own:
            numbers |= {name: own[f"{name}_mean"], f"{name}_sd": own[f"{name}_sd"]}
            numbers |= {f"{name}_kmeans": raw[f"{name}_mean"]} if raw else {}
    return numbers


def best_score(results: Results, who: str, data: str) -> Row | None:
    """detect's row with the largest area, of a run or a baseline on a data set."""
    rows = [row for row in results.scores_on(data) if row["run"] == who]
    return max(rows, key=lambda row: row["auroc"], default=None)


def clusters_of(results: Results, data: str, who: str | None) -> Row | None:
    """cluster's row of a run's latents as they are, or for None of the data themselves."""
    rows = [row for row in results.clustering.rows if row["data"] == data]
    if who is None:
        return next((row for row in rows if row["space"] == "data"), None)
    return next((row for row in rows if row["space"] == "latent" and row["run"] == who), None)


def is_bound(run: RunResult, on_levels: bool) -> bool:
    """Whether -log p is known only from above: by an ELBO, or by dequantisation of data on levels."""
    return on_levels or "nats_iw50" in run.metrics


def machine(results: Results) -> dict[str, Any]:
    """leaderboard.json: every number of every run with where it comes from, all finite, unrounded."""
    runs = []
    for key, run in results.runs.items():
        version = run.version
        runs.append({
            "run": key, "model": run.line.model, "family": run.line.family, "data": run.line.data,
            "data_sha256": run.lineage["data_sha256"], "checkpoint_sha256": run.checkpoint_sha256,
            "conf_sha256": run.lineage["conf_sha256"], "code_sha256": run.lineage["code_sha256"],
            "key": run.lineage["key"], "git_commit": run.lineage["git_commit"], "seed": run.lineage["seed"],
            "metrics": run.metrics, "not_finite": list(run.not_finite),
            "is_bound": is_bound(run, results.data[run.line.data]["levels"] is not None),
            "detection": [row for row in results.detection.rows if row["run"] == key],
            "clustering": clusters_of(results, run.line.data, key),
            "mlflow": {name: version[name] for name in ("model", "version", "aliases", "run_id", "experiment_id")},
        })  # fmt: skip
    best = {data: table(results, data).best for data in results.data}
    return {
        "seed": results.params.seed,
        "budget": results.params.budget,
        "runs": runs,
        "best": best,
        "baselines": {
            "detection": [row for row in results.detection.rows if row["run"] not in results.runs],
            "clustering": [row for row in results.clustering.rows if row["space"] == "data"],
        },
        "columns": [
            {k: getattr(column, k) for k in ("name", "title", "unit", "better", "about")} for column in COLUMNS
        ],
    }


def decimal(value: float, decimals: int | None) -> str:
    """A number with so many decimals, None for three significant digits; a true minus, and no minus before zero."""
    if decimals is None:
        decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:.{max(0, decimals)}f}"
    return text.lstrip("-") if not float(text) else text.replace("-", MINUS)


def _decimals(column: Column, rows: Sequence[Mapping[str, float]]) -> int | None:
    """The same for a whole column: two digits of its largest error, and no more than the column's."""
    largest = max((row[column.digits_of] for row in rows if column.digits_of in row), default=0.0)
    if column.decimals is None or largest <= 0:
        return column.decimals
    return min(column.decimals, max(0, 1 - math.floor(math.log10(largest))))


def _cell(
    column: Column, run: RunResult, numbers: Mapping[str, float], on_levels: bool, best: bool, decimals: int | None
) -> Cell | None:
    if column.name in run.not_finite:
        return Cell("not finite")
    if column.name not in numbers:
        return None

    def shown(name: str) -> str:
        return decimal(numbers[name] * column.scale, decimals) if name in numbers else ""

    low, high = (shown(name) for name in column.interval)
    metric, title = column.reference
    return Cell(
        shown(column.name),
        is_bound=column.is_likelihood and is_bound(run, on_levels),
        is_best=best,
        error=shown(column.error),
        interval=f"{low} to {high}" if low and high else "",
        reference=f"{title} {shown(metric)}" if metric in numbers else "",
    )
