"""Writes the most anomalous test rows of a run, each with the reason why, to a file that people open."""

import csv
from pathlib import Path

import numpy as np

from gen_models.anomalies.calibration import Calibration
from gen_models.anomalies.conformal import conformal_p
from gen_models.evaluating import evaluating
from gen_models.table import from_json
from pipelines.evaluation.reasons import Reasons
from pipelines.evaluation.row_scores import RowScores
from pipelines.evaluation.trained_run import Trained

FILE = "anomalous_rows.csv"
MOST_ROWS = 20
DIGITS = 8  # of p-values


def write_anomalous_rows(trained: Trained, scored: RowScores, known: Calibration | None, folder: Path) -> None:
    """Write the rows with the largest values of the run's default score to anomalous_rows.csv, the largest first.

    The columns are `row`, the row's index in the test split; `class` where the data have labels; `score`; `p` where
    there are calibration rows; `reason` where the model can say why; and for a table the row itself, as the user's
    table has it. A column of the table that has one of these names gets the name NAME (data). If the run has no score,
    nothing is written.

    known: what `write_calibration` (row_scores.py) returned
    """
    if not scored.fitted.names:
        return
    name, data = scored.fitted.default, trained.data
    scores = scored.test[name]
    chosen = np.argsort(-scores, kind="stable")[:MOST_ROWS]
    x = np.asarray(data.x("test")[chosen])
    x = x if x.dtype == np.float64 else x.astype(np.float32)
    columns: dict[str, list] = {"row": chosen.tolist()}
    if len(data.manifest["classes"]) > 1:
        columns["class"] = [data.manifest["classes"][label] for label in data.y("test")[chosen]]
    columns["score"] = scores[chosen].tolist()
    if name in scored.calibration:
        columns["p"] = conformal_p(scored.calibration[name], scores[chosen]).round(DIGITS).tolist()
    with evaluating(trained.model):
        reasons = Reasons(scored.fitted, name, known.usual if known else None, data.manifest)
        if not reasons.why_none:
            columns["reason"] = [reason.text for reason in reasons.of(x)]
    if "table" in data.manifest:
        own = from_json(data.manifest["table"]["columns"]).decode(x)
        columns |= {f"{key} (data)" if key in columns else key: values for key, values in own.items()}
    with (folder / FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
