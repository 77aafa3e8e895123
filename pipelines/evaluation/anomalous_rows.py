"""Writes the most anomalous test rows of a run, each with the reason why, to a file that people open."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.row_names import free
from pipelines.data.store import Dataset
from pipelines.evaluation.trained_run import Trained

FILE = "anomalous_rows.csv"
DIGITS = 8  # of p-values


def write_anomalous_rows(trained: Trained, records: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the rows with the largest values of the run's default score to anomalous_rows.csv, the largest first.

    Beside the columns of `as_people_know` there are `class` where the data have labels; `score`; `p` where there are
    calibration rows; and `reason` where the model can say why. If the run has no score, nothing is written.

    records: what `score_facts` returned
    """
    default = next((record for record in records if record["is_default"]), None)
    if default is None:
        return
    most, data = default["most"], trained.data
    chosen = [one["row"] for one in most]
    told: dict[str, list] = {}
    if len(data.manifest["classes"]) > 1:
        told["class"] = [data.manifest["classes"][label] for label in data.y("test")[chosen]]
    told["score"] = [one["score"] for one in most]
    if default["calibration_rows"]:
        told["p"] = [round(one["p"], DIGITS) for one in most]
    if all("reason" in one for one in most):
        told["reason"] = [one["reason"] for one in most]
    columns = as_people_know(data, chosen, told)
    with (folder / FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def as_people_know(data: Dataset, rows: Sequence[int] | np.ndarray, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a table of test rows by which people find each row in their own files, and what is told.

    rows: indices in the test split; told: {column: a value for each row} of what is said about the rows

    The columns are `test_row`; the row's path, or its identifiers and index (see Dataset.names); those of `told`; and
    for a table the values of the row, as the user's table has them. A column of the user's with a name that is taken
    gets the name NAME (data).
    """
    found: dict[str, Any] = {"test_row": rows}
    for name, words in data.names("test", rows).items():
        found[free(name, {*told, *found})] = words
    found |= told
    for name, values in (data.schema.decode(data.x("test")[rows]) if data.schema is not None else {}).items():
        found[free(name, found)] = values
    return found
