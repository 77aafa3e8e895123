"""Compares models with baselines: which are above, which are below, and which are not clearly apart."""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.report import leaderboard
from pipelines.report.as_text import decimal
from pipelines.report.read import BASELINES, Results, Row, RunResult

Named = tuple[Row, str, RunResult | None]  # (row of scores, its name on the page, its run or None for a baseline)


@dataclass(frozen=True)
class Comparison:
    """The anomaly scores or clusters on a data set compared with a baseline, the best first.

    rows: (row, its name, its run or None for a baseline, its difference from the baseline as text)
    above, unclear, below: the keys of the runs that are better than the baseline, not clearly different from it, or
    worse

    A run is judged by its default score or its best clusters. It is unclear if the 95% interval of its number
    overlaps with the baseline's.
    """

    rows: list[tuple[Row, str, RunResult | None, str]]
    above: list[str]
    unclear: list[str]
    below: list[str]


def detection(found: Results, data: str) -> Comparison:
    """Compare every anomaly score on a data set with the default score of PCA. A run is judged by its default score."""
    rows: list[Named] = []
    for row in found.scores_on(data):
        run = found.runs.get(row["run"])
        rows.append((row, row["run"] if run else BASELINES[row["run"]], run))
    return compared(rows, leaderboard.default_score(found, "pca", data), "auroc", lambda row: (row["low"], row["high"]))


def clustering(found: Results, data: str) -> Comparison:
    """Compare k-means on every run's latents with k-means on the data themselves."""
    rows: list[Named] = []
    for row in (row for row in found.clustering.rows if row["data"] == data):
        names = {"data": "k-means on the data", "latent": row["run"], "whitened": f"{row['run']}, whitened"}
        rows.append((row, names[row["space"]], None if row["space"] == "data" else found.runs[row["run"]]))
    raw = leaderboard.clusters_of(found, data, None)
    return compared(rows, raw, "acc_mean", _share_interval, judged=lambda row: raw is None or row["k"] == raw["k"])


def _share_interval(clusters: Row) -> tuple[float, float]:
    """Return the 95% interval of a cluster accuracy, over seeds of k-means and over test rows."""
    reach = leaderboard.NORMAL_95 * leaderboard.share_error(clusters)
    return clusters["acc_mean"] - reach, clusters["acc_mean"] + reach


def compared(
    rows: list[Named],
    baseline: Row | None,
    by: str,
    spread: Callable[[Row], tuple[float, float]],
    *,
    judged: Callable[[Row], bool] = lambda row: True,
) -> Comparison:
    """Compare rows with a baseline's row by the number `by`, the largest first.

    baseline: its row, or None if there is none to compare with; spread: returns the interval (low, high) of a row
    judged: whether a row may be above or below the baseline
    """
    found = Comparison([], [], [], [])
    told = set()
    for row, name, who in sorted(rows, key=lambda it: -it[0][by]):
        is_other = baseline is not None and row is not baseline
        difference = row[by] - baseline[by] if baseline is not None else 0.0
        found.rows.append(
            (row, name, who, ("+" if difference > 0 else "") + decimal(difference, 3) if is_other else "")
        )
        stands_for_run = row.get("is_default", True) and judged(row)
        if who is None or not is_other or who.line.key in told or not stands_for_run:
            continue
        told.add(who.line.key)
        (low, high), (base_low, base_high) = spread(row), spread(baseline or row)
        side = found.above if low > base_high else found.below if high < base_low else found.unclear
        side.append(who.line.key)
    return found
