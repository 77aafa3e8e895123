"""Measures how far anomaly scores agree on the order of a data set's test rows: Spearman's rank correlation.

The file agreement.json has a record for each data set:

    data, rows   its name, and the number of test rows that are compared: those that every run on it has scored
    runs         the runs that have an anomaly score
    scores       the name of the default score of each of these runs
    spearman     a matrix with the rank correlation of the default scores of each two of these runs; null if one of the
                 two scores is constant
    own          {run: {"scores": names of all its scores, "spearman": the matrix of their rank correlations}}
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from pipelines.comparison.gather import Row

Scores = Mapping[tuple[str, str], np.ndarray]  # {(run, score): (test rows,)}


def agreement(data: str, facts: Sequence[Row], scores: Scores) -> Row:
    """Return the record of a data set.

    data: its name
    facts: the records in scores.json of all runs on it (score_facts.py)
    scores: {(run, score): values on the test split (rows,)} of all runs on it
    """
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
    """Return the matrix of the rank correlations of each two columns, with ones on its diagonal.

    columns: arrays (rows,) without NaN. An entry is None if one of its two columns is constant.
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
