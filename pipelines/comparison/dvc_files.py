"""Writes what `dvc metrics`, `dvc plots` and `dvc exp show` read: small files of each run.

metrics/RUN.json   at most the numbers of NUMBERS, flat
curves/RUN.csv     step,validation: the metric by which the run was chosen, on validation rows; lower is better
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

NUMBERS = {  # the number: the names that it has in metrics.json, the lowest counts
    "criterion": ("criterion",),
    "nats": ("nats", "nats_iw50", "binary_nats", "binary_nats_iw50"),
    "mse": ("mse",),
    "c2st_accuracy": ("c2st_accuracy",),
    "coverage": ("coverage",),
}


def write_metrics(params: Params, folder: Path) -> None:
    """Write a file for each run; `auroc` is that of its default anomaly score. A number that is not finite is left out.

    Raises DataError if an output of evaluate is not there.
    """
    folder.mkdir()
    areas = {row["run"]: row["auroc"] for row in gather(params, "anomalies") if row["is_default"]}
    for key in params.runs:
        measured = json.loads(_text(paths.out("evaluate", key, "metrics.json"), f"evaluate@{key}"))
        numbers = {name: min(found) for name, names in NUMBERS.items() if (found := _finite(measured, names))}
        if key in areas and math.isfinite(areas[key]):
            numbers["auroc"] = areas[key]
        (folder / f"{key}.json").write_text(json.dumps(numbers, indent=1) + "\n")


def write_curves(params: Params, folder: Path) -> None:
    """Write a file for each run, of the reports of its training. Raises DataError if the training is not there."""
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
