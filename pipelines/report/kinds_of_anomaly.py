"""The table of each kind of anomaly: how well the best run and the best baseline find it, by their default scores."""

from dataclasses import dataclass
from typing import NamedTuple

from pipelines.data import anomalies
from pipelines.report.read import BASELINES, Results, Row


class Who(NamedTuple):
    """The head of a column: a run or baseline, and the name of its score."""

    name: str
    score: str


@dataclass(frozen=True)
class KindTable:
    """How well the best run and the best baseline find each kind of anomaly.

    scores: the default score of each of the two
    rows: (kind, its test rows, the numbers of each score); too_few: the kinds with too few test rows to be measured
    """

    scores: list[Who]
    rows: list[tuple[str, int, list[Row]]]
    too_few: list[str]


def table(found: Results, data: str) -> KindTable | None:
    """Return the table of a data set, or None if it has one kind of anomaly, or none that can be measured."""
    scored = sorted((row for row in found.scores_on(data) if row["is_default"]), key=lambda row: -row["auroc"])
    sides = ([row for row in scored if (row["run"] in found.runs) == is_run] for is_run in (True, False))
    best = [side[0] for side in sides if side and side[0]["kinds"]]
    if not best:
        return None
    by_kind = [{row["kind"]: row for row in one["kinds"]} for one in best]
    return KindTable(
        [Who(str(BASELINES.get(row["run"], row["run"])), row["score"]) for row in best],
        [(kind, row["rows"], [numbers[kind] for numbers in by_kind]) for kind, row in by_kind[0].items()],
        [kind for kind in anomalies.names(found.data[data]) if kind not in by_kind[0]],
    )
