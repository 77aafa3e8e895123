"""Compares how well the anomaly scores of all runs and baselines rank the test rows of data with held-out classes.

It draws ROC curves and, for images, what the best score finds and misses. Rows of the held-out classes are the
anomalies. Of each run only the default score is drawn: to take the best of a run's scores would be a choice by test
labels. anomaly_assessment.py describes the records.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_curve

from pipelines import figures
from pipelines.comparison.gather import Row, gather, tell_range
from pipelines.config.params import Params
from pipelines.data import anomalies
from pipelines.data.store import manifest_of, open_data
from pipelines.evaluation.prepared_rows import PreparedRows
from pipelines.evaluation.result_files import read_scores
from pipelines.runtime import paths

SHEET_IMAGES = 12


@dataclass(frozen=True)
class Case:
    """One anomaly score of a run or baseline: its record, and its values on the test split, (rows,)."""

    row: Row
    scores: np.ndarray


def compare_anomalies(params: Params, folder: Path) -> list[Row]:
    """Return the records of all scores, and draw roc.png and, for images, extremes-DATA.png into `folder`.

    Prints a line for each data set, also for those whose test rows have too few anomalies.
    """
    rows = gather(params, "anomalies")
    stored = {folder: read_scores(folder) for folder in {_folder(params, row) for row in rows}}
    by_data: dict[str, list[Case]] = {}
    for row in rows:
        by_data.setdefault(row["data"], []).append(Case(row, stored[_folder(params, row)][row["run"], row["score"]]))
    data = {name: PreparedRows(open_data(name)) for name in by_data}
    panels = {
        f"{name}: {data[name].anomaly_name} held out": curves(cases, data[name].is_anomaly("test"))
        for name, cases in by_data.items()
    }
    figures.roc(panels, folder / "roc.png")
    for name, cases in by_data.items():
        draw_extremes(max(default(cases), key=lambda case: case.row["auroc"]), data[name], folder)
    tell_range(rows, "anomaly score", "auroc", "AUROC")
    for name in dict.fromkeys(line.data for line in params.runs.values()):
        if name not in by_data and (reason := anomalies.unmeasured(manifest_of(name))):
            print(f"{name}: no anomaly scores: {reason}")
    return rows


def curves(cases: list[Case], is_anomaly: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the ROC curve of the default score of each run and baseline, the one with the largest area first.

    is_anomaly: whether each test row is an anomaly, (rows,). A score may be infinite: only ranks count

    Returns {label with area, run and score: (false-positive rates, true-positive rates)}.
    """
    return {
        f"{case.row['auroc']:.3f}  {case.row['run']}, {case.row['score']}": roc_curve(
            is_anomaly, rankdata(case.scores)
        )[:2]
        for case in sorted(default(cases), key=lambda case: -case.row["auroc"])
    }


def default(cases: list[Case]) -> list[Case]:
    """Return the cases whose score is the default of its run or baseline."""
    return [case for case in cases if case.row["is_default"]]


def draw_extremes(case: Case, rows: PreparedRows, folder: Path) -> None:
    """Draw extremes-DATA.png for a data set of images: test images ranked by one score. For other data, do nothing.

    It shows the images with the largest and the smallest scores, the anomalies with the largest and the smallest
    scores, and the normal images with the largest scores (the first false alarms).
    """
    if not figures.is_image(rows.data.event_shape):
        return
    images, order = np.asarray(rows.data.x("test")), np.argsort(-case.scores, kind="stable")
    is_anomaly, name, row = rows.is_anomaly("test"), rows.anomaly_name, case.row
    found, normal = order[is_anomaly[order]], order[~is_anomaly[order]]
    figures.sheet(
        {
            "most anomalous": images[order[:SHEET_IMAGES]],
            "least anomalous": images[order[::-1][:SHEET_IMAGES]],
            f"{name}: found first": images[found[:SHEET_IMAGES]],
            f"{name}: found last": images[found[::-1][:SHEET_IMAGES]],
            "false alarms first": images[normal[:SHEET_IMAGES]],
        },
        folder / f"extremes-{row['data']}.png",
        levels=rows.data.levels,
        title=f"{row['data']}: {row['run']}, {row['score']}, AUROC {row['auroc']:.3f}",
    )


def _folder(params: Params, row: Row) -> Path:
    """Return the folder that holds the scores of a record: out/evaluate/RUN or, for a baseline, out/baselines/DATA."""
    return paths.out("evaluate", row["run"]) if row["run"] in params.runs else paths.out("baselines", row["data"])
