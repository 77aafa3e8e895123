"""Compares the anomaly scores of all runs without labels: their distributions, and which rows each finds anomalous.

A record describes one anomaly score of one run, as score_facts.py explains.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.anomalies.calibration import FILE, load_calibration
from gen_models.errors import DataError
from gen_models.table import groups_of
from pipelines import figures
from pipelines.comparison.gather import Row, gather
from pipelines.comparison.score_agreement import Scores, agreement
from pipelines.config.params import Params
from pipelines.data.store import Dataset, open_data
from pipelines.evaluation.result_files import read_scores
from pipelines.runtime import paths
from pipelines.runtime.words import counted

MOST_COLUMNS = 40  # how many columns of a table's row are shown


def compare_scores(params: Params, folder: Path) -> list[Row]:
    """Return the records of every score of every run; write agreement.json and the pictures into `folder`.

    For data that are tables, the most anomalous rows in the record of a run's default score get `values`: {column: its
    value, as the user's table has it}. Prints a line for each data set. Raises DataError if a run's scores of the test
    rows are not there.
    """
    rows = gather(params, "scores", with_baselines=False)
    agreements = []
    for name in dict.fromkeys(row["data"] for row in rows):
        facts, data = [row for row in rows if row["data"] == name], open_data(name)
        scores = _scores(facts)
        agreements.append(agreement(name, facts, scores))
        defaults = [row for row in facts if row["is_default"]]
        draw_distributions(name, defaults, scores, folder)
        if figures.is_image(data.event_shape):
            draw_most(data, defaults, folder)
        elif len(data.event_shape) == 1:
            for row in defaults:
                _tell_values(row, data)
        print(_in_words(agreements[-1], defaults))
    (folder / "agreement.json").write_text(json.dumps(agreements, indent=1) + "\n")
    return rows


def draw_distributions(data: str, defaults: Sequence[Row], scores: Scores, folder: Path) -> None:
    """Draw distributions-DATA.png: for each run, its default score on test rows and on calibration rows.

    data: the data set's name; defaults: the records of the default scores of all runs on it
    scores: {(run, score): values on the test split (rows,)}
    """
    panels: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    for row in defaults:
        path = paths.out("evaluate", row["run"], FILE)
        known = load_calibration(path).scores.get(row["score"]) if path.is_file() else None
        panels[f"{row['run']}: {row['score']}"] = (scores[row["run"], row["score"]], known)
    figures.score_distributions(panels, folder / f"distributions-{data}.png", title=f"{data}: test rows")


def draw_most(data: Dataset, defaults: Sequence[Row], folder: Path) -> None:
    """Draw most-DATA.png: a row for each run with the test images of largest default score, the largest first.

    defaults: the records of the default scores of all runs on the data set
    """
    images = data.x("test")
    strips = {row["run"]: np.asarray(images[[one["row"] for one in row["most"]]]) for row in defaults}
    title = f"{data.name}: the most anomalous test images of each run"
    figures.sheet(strips, folder / f"most-{data.name}.png", levels=data.levels, title=title)


def _scores(facts: Sequence[Row]) -> Scores:
    found: dict[tuple[str, str], np.ndarray] = {}
    for run in dict.fromkeys(row["run"] for row in facts):
        found |= read_scores(paths.out("evaluate", run))
    for row in facts:
        if (row["run"], row["score"]) not in found:
            raise DataError(
                f"{row['run']}: its score {row['score']} of test rows is not there; run `dvc repro -f -s "
                f"evaluate@{row['run']}`"
            )
    return found


def _tell_values(row: Row, data: Dataset) -> None:
    """Add to each of the most anomalous rows in a record the values of its columns, as the user's table has them."""
    x = np.asarray(data.x("test")[[one["row"] for one in row["most"]]])
    values: dict[str, list[Any]]
    if data.schema is not None:
        values = data.schema.decode(x)
    else:
        values = {
            name: [float(f"{v:.6g}") for v in x[:, first]] for name, (first, _) in groups_of(data.manifest).items()
        }
    names = list(values)[:MOST_COLUMNS]
    for k, one in enumerate(row["most"]):
        one["values"] = {name: values[name][k] for name in names}


def _in_words(row: Row, defaults: Sequence[Row]) -> str:
    """Return a line that says how far the runs on a data set agree.

    row: the data set's record of agreement (score_agreement.py); defaults: the records of the runs' default scores
    """
    pairs = [
        (value, row["runs"][i], row["runs"][j])
        for i, line in enumerate(row["spearman"])
        for j, value in enumerate(line[:i])
        if value is not None
    ]
    own = sum(not one["lamp"] for one in defaults)
    runs = counted(len(row["runs"]), "run")
    told = f"{row['data']}: {row['rows']:,} test rows scored by {runs}; rankings of their own: {own}"
    if not pairs:
        return told
    least, one, other = min(pairs)
    return f"{told}; the least rank correlation is {least:.3f}, of {one} and {other}"
