"""How far the anomaly scores on a data set agree on the order of its test rows: Spearman's rank correlation.

A row of the file is of one data set:

    data, rows   its name, and how many test rows every run on it has scored
    runs, scores the runs that have a score, and the default score of each
    spearman     the rank correlation of each pair of runs, by their default scores; null if a score is constant
    own          {run: {"scores", "spearman"}}: the same between the scores of one run
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from pipelines.comparison.gather import Row

Scores = Mapping[tuple[str, str], np.ndarray]  # {(run, score): (test rows,)}


def agreement(data: str, facts: Sequence[Row], scores: Scores) -> Row:
    """Return the row of a data set. facts: the rows of scores.json of all runs on it, in their order"""
    rows = min(len(scores[row["run"], row["score"]]) for row in facts)
    defaults = [(row["run"], row["score"]) for row in facts if row["is_default"]]
    own = {}
    for run in dict.fromkeys(row["run"] for row in facts):
        names = [row["score"] for row in facts if row["run"] == run]
        own[run] = {"scores": names, "spearman": spearman([scores[run, name] for name in names])}
    return {
        "data": data,
        "rows": rows,
        "runs": [run for run, _ in defaults],
        "scores": [score for _, score in defaults],
        "spearman": spearman([scores[who][:rows] for who in defaults]),
        "own": own,
    }


def spearman(columns: Sequence[np.ndarray]) -> list[list[float | None]]:
    """Return the matrix of rank correlations, symmetric with ones on its diagonal; None where a column is constant.

    columns: (rows,) numbers each, none of them NaN
    """
    ranks = [rankdata(column) for column in columns]
    centred = [rank - rank.mean() for rank in ranks]
    sizes = [float(np.sqrt(np.square(rank).sum())) for rank in centred]
    found: list[list[float | None]] = [[None] * len(columns) for _ in columns]
    for i in range(len(columns)):
        found[i][i] = 1.0
        for j in range(i):
            if sizes[i] > 0 and sizes[j] > 0:
                value = float(centred[i] @ centred[j] / (sizes[i] * sizes[j]))
                found[i][j] = found[j][i] = min(1.0, max(-1.0, value))
    return found
