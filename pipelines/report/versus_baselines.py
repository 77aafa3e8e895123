"""Models beside baselines, said as it is: which are above, which below, and which cannot be told apart."""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.report import leaderboard
from pipelines.report.leaderboard import decimal
from pipelines.report.read import BASELINES, Results, Row, RunResult

Named = tuple[Row, str, RunResult | None]  # a row of scores, what the page calls it, its run or None of a baseline


@dataclass(frozen=True)
class Comparison:
    """Rows of detect or cluster on a data set beside a baseline, the best first.

    rows: (row, its name, its run or None, its difference from the baseline as text)
    above, unclear, below: the runs by their best row, as its 95% interval or spread and the baseline's allow
    """

    rows: list[tuple[Row, str, RunResult | None, str]]
    above: list[str]
    unclear: list[str]
    below: list[str]


def detection(found: Results, data: str) -> Comparison:
    """Every anomaly score on a data set beside PCA's."""
    rows: list[Named] = []
    for row in found.scores_on(data):
        run = found.runs.get(row["run"])
        rows.append((row, row["run"] if run else BASELINES[row["run"]], run))
    return compared(rows, leaderboard.best_score(found, "pca", data), "auroc", lambda row: (row["low"], row["high"]))


def clustering(found: Results, data: str) -> Comparison:
    """k-means on every run's latents beside k-means on the data themselves."""
    rows: list[Named] = []
    for row in (row for row in found.clustering.rows if row["data"] == data):
        names = {"data": "k-means on the data", "latent": row["run"], "whitened": f"{row['run']}, whitened"}
        rows.append((row, names[row["space"]], None if row["space"] == "data" else found.runs[row["run"]]))
    raw = leaderboard.clusters_of(found, data, None)
    return compared(
        rows, raw, "acc_mean", lambda row: (row["acc_mean"] - row["acc_sd"], row["acc_mean"] + row["acc_sd"])
    )  # fmt: skip


def compared(
    rows: list[Named],
    baseline: Row | None,
    by: str,
    spread: Callable[[Row], tuple[float, float]],
) -> Comparison:
    """Rows in the order of `by`, the largest first, each beside the baseline's row."""
    found = Comparison([], [], [], [])
    told = set()
    for row, name, who in sorted(rows, key=lambda it: -it[0][by]):
        is_other = baseline is not None and row is not baseline
        difference = row[by] - baseline[by] if baseline is not None else 0.0
        found.rows.append(
            (row, name, who, ("+" if difference > 0 else "") + decimal(difference, 3) if is_other else "")
        )
        if who is None or not is_other or who.line.key in told:
            continue
        told.add(who.line.key)
        (low, high), (base_low, base_high) = spread(row), spread(baseline or row)
        side = found.above if low > base_high else found.below if high < base_low else found.unclear
        side.append(who.line.key)
    return found
