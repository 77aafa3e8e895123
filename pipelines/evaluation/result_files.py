"""The files that `evaluate` and `baselines` write for `compare`, which puts runs and baselines side by side.

anomalies.json, clusters.json, denoising.json, compression.json   rows of numbers; [] if nothing applies
scores.json                                                        facts of each anomaly score that need no label
anomaly_scores.npz                                                 {run|score: (test rows,)}, of runs on any data
calibration.safetensors                                            what new rows are compared with (row_scores.py)
sheets/                                                            pictures that the comparison shows
messages.txt                                                       what `evaluate` prints of the run
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SHEETS = "sheets"
MESSAGES = "messages.txt"  # what the evaluation has to say, a line each
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
    """Write the parts into a folder, and remove its folder of sheets if it is empty.

    scored: (row of numbers, scores (rows,) of the test split) for each anomaly score that labels measure
    scores: {(run, score): (rows,) of the test split} of scores without such a row
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
    """Write the rows of one part."""
    (folder / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")


def read_part(folder: Path, name: str) -> list[Row]:
    """Return the rows of one part. name: anomalies, scores, clusters, denoising or compression"""
    return json.loads((folder / f"{name}.json").read_text())


def read_scores(folder: Path) -> dict[tuple[str, str], np.ndarray]:
    """Return {(run or baseline, score): scores (rows,) of the test split}; {} if there are none."""
    path = folder / SCORES
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return {tuple(name.split("|", 1)): stored[name] for name in stored.files}
