"""Makes the report's section on anomaly scores that needs no label.

It says which simpler ranking each score resembles, how far the runs agree, and which test rows are the most anomalous.
"""

from dataclasses import dataclass

from pipelines.report.gallery import Picture, picture
from pipelines.report.read import Results, Row, RunResult

PLAIN = {  # {a ranking that needs no training: its name for readers}
    "distance_to_mean": "distance to the mean",
    "pca": "principal components",
    "untrained": "the untrained network",
}


@dataclass(frozen=True)
class ScoreLine:
    """A score of a run.

    row: the score's row in scores.json; its `lamp` is a warning if the score ranks rows as a simpler ranking does
    nearest: the ranking of PLAIN that the score resembles most if it has that warning, else ""
    with_default: its rank correlation with the default score of the run, or None for the default score itself
    """

    row: Row
    run: RunResult
    nearest: str
    with_default: float | None


@dataclass(frozen=True)
class Unusual:
    """The section of a data set.

    is_labelled: whether AUROCs are known, too; lines: every score of every run
    columns: {ranking of PLAIN: its name} for those that any line is compared with
    agreement: how far the runs on the data agree, from compare's agreement.json
    spread: the lowest and the highest rank correlation of two runs, or None
    tables: (run, score, has p-values, names, columns, rows) of the most anomalous rows of a table or of the user's
        images; a row of the default score has a reason, if the model can say it. names: the columns that identify a row
    """

    is_labelled: bool
    lines: list[ScoreLine]
    columns: dict[str, str]
    agreement: Row
    spread: tuple[float, float] | None
    tables: list[tuple[RunResult, str, bool, list[str], list[str], list[Row]]]
    pictures: list[Picture]


def unusual(found: Results) -> dict[str, Unusual]:
    """Return {data: its section}."""
    told = {}
    for data, agreed in found.agreements.items():
        rows = [row for row in found.scored.rows if row["data"] == data]
        lines = [ScoreLine(row, found.runs[row["run"]], _nearest(row), _with_default(row, agreed)) for row in rows]
        known = _pairs(agreed["spearman"])
        told[data] = Unusual(
            bool(found.scores_on(data)),
            lines,
            {
                name: words
                for name, words in PLAIN.items()
                if any(row["resembles"].get(name) is not None for row in rows)
            },
            agreed,
            (min(known), max(known)) if known else None,
            [_table(row, found.runs[row["run"]]) for row in rows if {"values", "names"} & set().union(*row["most"])],
            _pictures(found, data),
        )
    return told


def with_others(found: Results, data: str) -> dict[str, float]:
    """Return {run: the mean rank correlation of its default score with the default scores of the other runs}.

    data: the name of the data set; only its runs are compared
    """
    means: dict[str, float] = {}
    if (agreed := found.agreements.get(data)) is None:
        return means
    for i, run in enumerate(agreed["runs"]):
        known = [value for j, value in enumerate(agreed["spearman"][i]) if j != i and value is not None]
        means |= {run: sum(known) / len(known)} if known else {}
    return means


def _nearest(row: Row) -> str:
    known = {name: value for name, value in row["resembles"].items() if value is not None}
    return max(known, key=lambda name: known[name]) if row["lamp"] and known else ""


def _with_default(row: Row, agreed: Row) -> float | None:
    own = agreed["own"][row["run"]]
    default = agreed["scores"][agreed["runs"].index(row["run"])] if row["run"] in agreed["runs"] else None
    if default is None or row["is_default"]:
        return None
    return own["spearman"][own["scores"].index(row["score"])][own["scores"].index(default)]


def _pairs(matrix: list[list[float | None]]) -> list[float]:
    return [value for i, line in enumerate(matrix) for value in line[:i] if value is not None]


def _table(row: Row, run: RunResult) -> tuple[RunResult, str, bool, list[str], list[str], list[Row]]:
    most = [{"names": {}, "values": {}, **one} for one in row["most"]]
    has_p = any(one["p"] is not None for one in most)
    return run, row["score"], has_p, list(most[0]["names"]), list(most[0]["values"]), most


def _pictures(found: Results, data: str) -> list[Picture]:
    runs = [found.runs[run] for run in found.agreements[data]["runs"]]
    words = {
        f"distributions-{data}": ("Distributions of scores", "The default score of each run; rows beyond at the edge."),
        f"most-{data}": ("The most anomalous images", "The most anomalous test images of each run, the first first."),
    }
    return [
        picture(content, f"{alt} of {data}", runs, data, text, is_wide=True)
        for name, (alt, text) in words.items()
        if (content := found.scored.pictures.get(name))
    ]
