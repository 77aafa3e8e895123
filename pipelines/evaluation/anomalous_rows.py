"""Writes the most anomalous test rows of a run, each with the reason why, to a file that people open."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.evaluation.trained_run import Trained

FILE = "anomalous_rows.csv"
DIGITS = 8  # of p-values


def write_anomalous_rows(trained: Trained, records: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the rows with the largest values of the run's default score to anomalous_rows.csv, the largest first.

    The columns are `row`, the row's index in the test split; `class` where the data have labels; `score`; `p` where
    there are calibration rows; `reason` where the model can say why; and for a table the row itself, as the user's
    table has it. A column of the table that has one of these names gets the name NAME (data). If the run has no score,
    nothing is written.

    records: what `score_facts` returned
    """
    default = next((record for record in records if record["is_default"]), None)
    if default is None:
        return
    most, data = default["most"], trained.data
    chosen = [one["row"] for one in most]
    columns: dict[str, list] = {"row": chosen}
    if len(data.manifest["classes"]) > 1:
        columns["class"] = [data.manifest["classes"][label] for label in data.y("test")[chosen]]
    columns["score"] = [one["score"] for one in most]
    if default["calibration_rows"]:
        columns["p"] = [round(one["p"], DIGITS) for one in most]
    if all("reason" in one for one in most):
        columns["reason"] = [one["reason"] for one in most]
    if data.schema is not None:
        own = data.schema.decode(data.x("test")[chosen])
        columns |= {f"{key} (data)" if key in columns else key: values for key, values in own.items()}
    with (folder / FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
