"""Writes what `dvc metrics`, `dvc plots` and `dvc exp show` read: two small files for each run.

metrics/RUN.json   {name: number}: those of NUMBERS that the run has, and auroc if anomalies were measured
curves/RUN.csv     the columns step and validation: the metric by which the run's setting was chosen, on validation
                   rows, at each report of the training; lower is better
"""

import csv
import json
import math
from pathlib import Path
from typing import Any

from gen_models.errors import DataError
from pipelines.comparison.gather import gather
from pipelines.config.params import Params
from pipelines.runtime import paths

NUMBERS = {  # {a name in metrics/RUN.json: names in the evaluation's metrics.json, of whose values the lowest is taken}
    "criterion": ("criterion",),
    "nats": ("nats", "nats_iw50", "binary_nats", "binary_nats_iw50"),
    "mse": ("mse",),
    "c2st_accuracy": ("c2st_accuracy",),
    "coverage": ("coverage",),
}


def write_metrics(params: Params, folder: Path) -> None:
    """Write RUN.json for each run into a new folder. A number that is not finite is left out.

    `auroc` is the area under the ROC curve of the run's default anomaly score. Raises DataError if a run has not been
    evaluated.
    """
    folder.mkdir()
    areas = {row["run"]: row["auroc"] for row in gather(params, "anomalies") if row["is_default"]}
    for key in params.runs:
        measured = json.loads(_text(paths.out("evaluate", key, "metrics.json"), f"evaluate@{key}"))
        numbers = numbers_of(measured, areas.get(key))
        (folder / f"{key}.json").write_text(json.dumps(numbers, indent=1) + "\n")


def numbers_of(measured: dict[str, Any], area: float | None) -> dict[str, float]:
    """Return {name: number} of an evaluation: those of NUMBERS that are finite, and auroc.

    measured: the content of its metrics.json; area: the area under the ROC curve of its default score, or None
    """
    numbers = {name: min(found) for name, names in NUMBERS.items() if (found := _finite(measured, names))}
    return numbers | ({"auroc": area} if area is not None and math.isfinite(area) else {})


def write_curves(params: Params, folder: Path) -> None:
    """Write RUN.csv for each run into a new folder, with a line for each report of its training.

    Raises DataError if a run has not been trained.
    """
    folder.mkdir()
    for key in params.runs:
        trained = paths.out("train", key)
        name = f"validation.{json.loads(_text(trained / 'lineage.json', f'train@{key}'))['metric']}"
        reports = map(json.loads, _text(trained / "history.jsonl", f"train@{key}").splitlines())
        with (folder / f"{key}.csv").open("w", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(["step", "validation"])
            lines.writerows(
                [line["step"], line["metrics"][name]] for line in reports if _finite(line["metrics"], [name])
            )


def _finite(numbers: dict[str, Any], names: Any) -> list[float]:
    return [numbers[name] for name in names if name in numbers and math.isfinite(numbers[name])]


def _text(path: Path, stage: str) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); run `dvc repro {stage}`") from None
