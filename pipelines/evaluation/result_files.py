"""The files that the stages `evaluate` and `baselines` write for `compare`, which puts runs and baselines side by side.

anomalies.json, clusters.json, denoising.json, compression.json
                           lists of records (dictionaries of results); [] if the run cannot be measured so
scores.json                a record for each anomaly score of a run, without the use of labels (score_facts.py)
anomaly_scores.npz         {"RUN|SCORE": (test rows,)}: the value of each anomaly score on each test row
calibration.safetensors    what new rows are compared with (row_scores.py)
sheets/                    pictures that the comparison shows
messages.txt               what `evaluate` prints about the run

`baselines` writes neither scores.json, calibration.safetensors nor messages.txt. A part is a list of records, named as
its file without .json.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SHEETS = "sheets"
MESSAGES = "messages.txt"  # what the evaluation prints, line by line
SCORES = "anomaly_scores.npz"

Row = dict[str, Any]


def write_parts(
    folder: Path,
    *,
    scored: Sequence[tuple[Row, np.ndarray]] = (),
    scores: Mapping[tuple[str, str], np.ndarray] | None = None,
    clusters: Sequence[Row] = (),
    denoising: Sequence[Row] = (),
    compression: Sequence[Row] = (),
) -> None:
    """Write the parts and anomaly_scores.npz into a folder, and remove its folder sheets/ if that is empty.

    scored: for each anomaly score that was measured with labels, (its record, its values (rows,) on the test split)
    scores: {(run, score): values (rows,) on the test split}, also of scores that were not measured with labels
    clusters, denoising, compression: the records of these parts
    """
    rows = {
        "anomalies": [row for row, _ in scored],
        "clusters": clusters,
        "denoising": denoising,
        "compression": compression,
    }
    for name, part in rows.items():
        write_part(folder, name, part)
    kept = dict(scores or {}) | {(row["run"], row["score"]): values for row, values in scored}
    if kept:
        with (folder / SCORES).open("wb") as file:
            arrays: dict[str, Any] = {f"{who}|{score}": values for (who, score), values in kept.items()}
            np.savez(file, **arrays)
    if not any((folder / SHEETS).iterdir()):
        (folder / SHEETS).rmdir()


def write_part(folder: Path, name: str, rows: Sequence[Row]) -> None:
    """Write the records of one part to NAME.json."""
    (folder / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")


def read_part(folder: Path, name: str) -> list[Row]:
    """Return the records of one part. name: anomalies, scores, clusters, denoising or compression"""
    return json.loads((folder / f"{name}.json").read_text())


def read_scores(folder: Path) -> dict[tuple[str, str], np.ndarray]:
    """Return {(run or baseline, score): values (rows,) on the test split}; {} if the folder has no scores."""
    path = folder / SCORES
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return {tuple(name.split("|", 1)): stored[name] for name in stored.files}
