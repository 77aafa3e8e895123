"""The leaderboards: a table of numbers for each data set, and the best run of each column.

The best number of a column is the lowest, the highest, or the one nearest to the value of a perfect model. Numbers that
their errors cannot tell from it are marked as well. Only runs on the same data are compared, and samples of binary
pixels only with samples of such. If only one run has a number, it is not marked as best. Never best are a number that
is not finite, a number of a run that diverged or collapsed, a number that errors cannot tell from that of a method
without a network, a C2ST that nearly always tells samples apart, and the AUROC of an anomaly score that ranks rows as
something simpler does. A run's AUROC is the AUROC of its
default score, which was chosen without labels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gen_models.table import from_json
from pipelines.evaluation.metrics.standard_errors import NORMAL_95, error_of, standard_errors
from pipelines.report.as_text import decimal
from pipelines.report.leaderboard_columns import BASELINES, COLUMNS, Better, Column
from pipelines.report.read import Results, Row, RunResult


@dataclass(frozen=True)
class Cell:
    """A cell of a table: the number as text, its error or interval, and the numbers with which it is compared."""

    text: str
    is_bound: bool = False
    is_best: bool = False
    error: str = ""
    interval: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Table:
    """The leaderboard of a data set.

    columns: the columns in which some run has a number, finite or not; rows: {run: {column: Cell or None}}
    best: {column: the best runs}; beside: {column: the numbers it is compared with}, only if these are equal for all
    runs
    """

    columns: list[Column]
    rows: dict[str, dict[str, Cell | None]]
    best: dict[str, list[str]]
    beside: dict[str, str]

    def parts(self, width: int) -> list[tuple[list[Column], dict[str, dict[str, Cell | None]]]]:
        """Return the table in parts of `width` columns, each with the rows that have a number in it."""
        found = []
        for start in range(0, len(self.columns), width):
            columns = self.columns[start : start + width]
            rows = {key: row for key, row in self.rows.items() if any(row[column.name] for column in columns)}
            found.append((columns, rows))
        return found


def table(results: Results, data: str) -> Table:
    """Return the leaderboard of a data set."""
    runs = {run.line.key: run for run in results.runs_on(data)}
    numbers = {key: numbers_of(results, key) for key in runs}
    on_levels = has_levels(results.data[data])
    rows: dict[str, dict[str, Cell | None]] = {key: {} for key in runs}
    columns, best, beside = [], {}, {}
    for column in COLUMNS:
        values = {key: row[column.name] for key, row in numbers.items() if column.name in row}
        if not values and all(column.name not in run.not_finite for run in runs.values()):
            continue
        columns.append(column)
        sound = {key: numbers[key] for key in values if not runs[key].failures}
        best[column.name] = _best(column, sound, results) if column.is_ranked else []
        decimals = _decimals(column, list(numbers.values()))
        for key, run in runs.items():
            rows[key][column.name] = _cell(column, run, numbers[key], on_levels, key in best[column.name], decimals)
        references = {cell.reference for row in rows.values() if (cell := row[column.name]) and cell.reference}
        if len(references) == 1:
            beside[column.name] = references.pop()
    return Table(columns, rows, best, beside)


def best_of(values: Mapping[str, float], better: Better, errors: Mapping[str, float] | None = None) -> list[str]:
    """Return the run with the best value and those that cannot be told from it; [] for fewer than two values.

    values: {run: its value}; better: "lower", "higher", or the value of a perfect model
    errors: {run: the standard error of its value}; a run that is not there has none
    """
    if len(values) < 2:
        return []
    sign = {"lower": 1.0, "higher": -1.0}
    loss = {k: sign[better] * v if isinstance(better, str) else abs(v - better) for k, v in values.items()}
    known, best = errors or {}, min(loss, key=lambda key: loss[key])
    return [
        key for key, value in loss.items() if is_tied(value - loss[best], known.get(key, 0.0), known.get(best, 0.0))
    ]


def _best(column: Column, numbers: Mapping[str, Mapping[str, float]], results: Results) -> list[str]:
    """Return the runs that are marked in a column. numbers: {sound run: its numbers, the column's among them}"""
    values = {key: of[column.name] for key, of in numbers.items()}
    errors = {key: error for key, of in numbers.items() if (error := _error(column, of))}
    binary = {key for key, of in numbers.items() if column.is_by_pixels and "binary_nats" in of}
    groups = [{key: value for key, value in values.items() if (key in binary) == side} for side in (False, True)]
    best = [key for group in groups for key in best_of(group, column.better, errors)]
    return [
        key
        for key in best
        if _beats_baselines(column, numbers[key])
        and (column.hopeless is None or values[key] < column.hopeless)
        and not (column.name == "auroc" and results.lamp(key))
    ]


def _beats_baselines(column: Column, numbers: Mapping[str, float]) -> bool:
    """Return whether a run's number is better than those of methods without a network, by more than their errors."""
    sign, error = 1.0 if column.better == "lower" else -1.0, _error(column, numbers)
    known = [metric for metric, title in column.references if title in BASELINES and metric in numbers]
    gaps = {metric: sign * (numbers[column.name] - numbers[metric]) for metric in known}
    return all(is_below(gap, error, numbers.get(f"{metric}_error", 0.0)) for metric, gap in gaps.items())


def is_tied(difference: float, *errors: float) -> bool:
    """Return whether two values cannot be told apart, from their difference and their standard errors.

    They can be if they differ by more than NORMAL_95 standard errors of a difference of independent values. This is
    cautious, since values on the same test rows err together.
    """
    return abs(difference) <= NORMAL_95 * math.hypot(*errors)


def is_below(difference: float, *errors: float) -> bool:
    """Return whether a value is less than another, and not tied with it. difference: the value less the other"""
    return difference < 0 and not is_tied(difference, *errors)


def _error(column: Column, numbers: Mapping[str, float]) -> float:
    """Return the standard error of a run's number, from its interval if it has one; 0 if nothing is known."""
    low, high = (numbers.get(name) for name in column.interval)
    if low is not None and high is not None:
        return error_of(low, high)
    return numbers.get(column.digits_of, 0.0)


def numbers_of(results: Results, key: str) -> dict[str, float]:
    """Return all numbers of a run by the names that COLUMNS use: its metrics, default anomaly score and clusters."""
    run = results.runs[key]
    numbers = {**standard_errors(run.metrics), **run.metrics}
    if detected := default_score(results, key, run.line.data):
        simple = [row["auroc"] for row in results.scores_on(run.line.data) if row["run"] not in results.runs]
        numbers |= {"auroc": detected["auroc"], "auroc_low": detected["low"], "auroc_high": detected["high"]}
        numbers |= {"auroc_simple": max(simple)} if simple else {}
    own, raw = clusters_of(results, run.line.data, key), clusters_of(results, run.line.data, None)
    for name in ("acc", "nmi", "ari"):
        if own:
            numbers |= {name: own[f"{name}_mean"], f"{name}_sd": own[f"{name}_sd"]}
            numbers |= {f"{name}_kmeans": raw[f"{name}_mean"]} if raw else {}
    if own:
        numbers |= {"acc_error": share_error(own)} | ({"acc_kmeans_error": share_error(raw)} if raw else {})
    return numbers


def share_error(clusters: Row) -> float:
    """Return the standard error of a cluster accuracy, over seeds of k-means and over test rows."""
    share = clusters["acc_mean"]
    return math.sqrt(clusters["acc_sd"] ** 2 / clusters["seeds"] + share * (1 - share) / clusters["rows"])


def default_score(results: Results, who: str, data: str) -> Row | None:
    """Return the row of the anomaly score that stands for a run or baseline on a data set, or None."""
    return next((row for row in results.scores_on(data) if row["run"] == who and row["is_default"]), None)


def clusters_of(results: Results, data: str, who: str | None) -> Row | None:
    """Return the row of clusters of a run's latents (not whitened) or, if `who` is None, of the data themselves."""
    rows = [row for row in results.clustering.rows if row["data"] == data]
    if who is None:
        return next((row for row in rows if row["space"] == "data"), None)
    return next((row for row in rows if row["space"] == "latent" and row["run"] == who), None)


def has_levels(manifest: Row) -> bool:
    """Return whether rows hold whole levels, which are dequantised: grey levels, or flags, counts and the like."""
    table = manifest.get("table")
    return manifest["levels"] is not None or (table is not None and bool(from_json(table["columns"]).discrete))


def is_bound(run: RunResult, on_levels: bool) -> bool:
    """Return whether -log p of a run is only an upper bound: an ELBO, or one by dequantisation.

    on_levels: whether the data hold whole levels (`has_levels`)
    """
    return on_levels or "nats_iw50" in run.metrics


def machine(results: Results) -> dict[str, Any]:
    """Return the content of leaderboard.json: all finite numbers of all runs, not rounded, with their lineage."""
    runs = []
    for key, run in results.runs.items():
        runs.append({
            "run": key, "model": run.line.model, "family": run.lineage["family"], "data": run.line.data,
            "data_sha256": run.lineage["data_sha256"], "checkpoint_sha256": run.checkpoint_sha256,
            "conf_sha256": run.lineage["conf_sha256"], "code_sha256": run.lineage["code_sha256"],
            "key": run.lineage["key"], "git_commit": run.lineage["git_commit"], "seed": run.lineage["seed"],
            "metrics": run.metrics, "not_finite": list(run.not_finite),
            "is_bound": is_bound(run, has_levels(results.data[run.line.data])),
            "detection": [row for row in results.detection.rows if row["run"] == key],
            "clustering": clusters_of(results, run.line.data, key),
            "mlflow": {"model": key},
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


def _decimals(column: Column, rows: Sequence[Mapping[str, float]]) -> int | None:
    """Return the decimals of a whole column: two digits of its largest error, but at most the column's own."""
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
    beside = [f"{title} {shown(metric)}" for metric, title in column.references if metric in numbers]
    return Cell(
        shown(column.name),
        is_bound=column.is_likelihood and is_bound(run, on_levels),
        is_best=best,
        error=shown(column.error),
        interval=f"{low} to {high}" if low and high else "",
        reference=", ".join(beside),
    )
