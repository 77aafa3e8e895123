"""Logs in the MLflow store what it lacks of the results in out/.

The folder out/train/RUN is the record of a training, and the store has a copy. So if the store failed during a
training, or was lost, it is completed from these files. If nothing is missing, two reads of the store are enough to
find out.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gen_models import checkpoint
from gen_models.errors import DataError, GenModelsError
from pipelines import figures, tracking
from pipelines.data.store import open_data
from pipelines.report import sweep_pictures
from pipelines.report.read import trial_samples
from pipelines.runtime import paths

SLUG_LENGTH = 60
NOT_METRICS = ("data_sha256", "checkpoint_sha256")


class MissingOutputError(GenModelsError):
    """The output of a stage is not there, or belongs to another run of the graph."""


@dataclass(frozen=True)
class Replayed:
    """A run in the store, and how many numbers and pictures were logged to complete it.

    is_new: whether the store did not have the run before
    """

    run_id: str
    experiment_id: str
    numbers: int = 0
    pictures: int = 0
    is_new: bool = False


def replay(run: str) -> Replayed:
    """Log what the store lacks of a run: of out/train/RUN and, if it is there, of out/evaluate/RUN.

    Raises MissingOutputError if the training has not ended, CheckpointError for a damaged checkpoint.
    """
    folder, facts = paths.out("train", run), lineage_of(run)
    checkpoint.verify(folder / "checkpoint")
    with tracking.translated():
        stored = tracking.MlflowRun(facts)
        ids = (stored.run_id, stored.experiment_id)
        mark = fingerprint(run)
        if stored.tags().get("replayed") == mark and stored.holds("checkpoint"):
            return Replayed(*ids)
        numbers = stored.log(_lines(folder / "history.jsonl"))
        pictures = _log_samples(stored, folder, facts["data"])
        stored.log_folder(folder / "checkpoint", "checkpoint", tracking.folder_sha256(folder / "checkpoint"))
        numbers += _log_evaluation(stored, run, facts)
        stored.end("FINISHED")
        stored.tag("replayed", mark)
    return Replayed(*ids, numbers, pictures, stored.is_new)


def replay_sweep(sweep: str) -> bool:
    """Log what the store lacks of out/sweep/SWEEP; return False if nothing was missing."""
    lineage, rows = sweep_of(sweep)
    folder = paths.out("sweep", sweep)
    is_new = tracking.log_sweep(sweep, lineage, rows)

    def draw() -> bytes | None:
        if not (folder / "samples").is_dir():
            return None
        return sweep_pictures.samples(rows, trial_samples(folder), open_data(lineage["data"]).levels)

    return tracking.complete_sweep(sweep, lineage, rows, draw) or is_new


def sweep_of(sweep: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the content of lineage.json and of trials.json of out/sweep/SWEEP."""
    folder = paths.out("sweep", sweep)
    return _json(folder / "lineage.json"), _json(folder / "trials.json")


def lineage_of(run: str) -> dict[str, Any]:
    """Return the content of out/train/RUN/lineage.json."""
    return _json(paths.out("train", run, "lineage.json"))


def evaluation_of(run: str) -> dict[str, Any]:
    """Return the content of out/evaluate/RUN/metrics.json."""
    return _json(paths.out("evaluate", run, "metrics.json"))


def latents_of(run: str) -> dict[str, Any]:
    """Return the content of out/evaluate/RUN/latents.json, {} for a model without latents."""
    path = paths.out("evaluate", run, "latents.json")
    return _json(path) if path.is_file() else {}


def numbers_in(evaluation: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of an evaluation, without the hashes that metrics.json also has."""
    return {
        name: float(value)
        for name, value in evaluation.items()
        if name not in NOT_METRICS and isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def anomaly_numbers(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return {name in MLflow: value} for the AUROCs and average precisions of anomaly scores.

    The names are auroc.SCORE, average_precision.SCORE, for each kind of anomaly auroc.SCORE.KIND and, for images with
    masks of their defects, pixel_auroc.SCORE. rows: the content of anomalies.json
    """
    found: dict[str, float] = {}
    for row in rows:
        score = row["score"]
        found |= {f"auroc.{score}": row["auroc"], f"average_precision.{score}": row["average_precision"]}
        found |= {f"pixel_auroc.{score}": row["pixel_auroc"]} if "pixel_auroc" in row else {}
        slugs = kind_slugs([kind["kind"] for kind in row["kinds"]])
        found |= {f"auroc.{score}.{slugs[kind['kind']]}": kind["auroc"] for kind in row["kinds"]}
    return found


def kind_slugs(kinds: Sequence[str]) -> dict[str, str]:
    """Return {kind: its name of letters, digits, _ and -}; a number is added to a name that an earlier kind has."""
    found: dict[str, str] = {}
    for kind in kinds:
        slug = wanted = re.sub(r"[^A-Za-z0-9_-]+", "_", kind)[:SLUG_LENGTH]
        number = 1
        while slug.lower() in {taken.lower() for taken in found.values()}:
            number += 1
            slug = f"{wanted}-{number}"
        found[kind] = slug
    return found


def _log_samples(stored: tracking.MlflowRun, folder: Path, data: str) -> int:
    steps = sorted(int(path.stem.removeprefix("step_")) for path in folder.glob("samples/step_*.npy"))
    missing = [step for step in steps if step not in stored.sample_steps()] if steps else []
    if not missing:
        return 0
    try:
        dataset = open_data(data)
    except DataError as error:
        raise MissingOutputError(f"{folder.name}: its sample pictures need the data: {error}") from None
    drawn = ((step, figures.step_picture(folder, step, dataset)) for step in missing)
    return sum(stored.log_samples(step, picture) for step, picture in drawn if picture is not None)


def _log_evaluation(stored: tracking.MlflowRun, run: str, facts: dict[str, Any]) -> int:
    folder = paths.out("evaluate", run)
    if not (folder / "metrics.json").is_file():
        return 0
    metrics = numbers_in(evaluation_of(run))
    for path in sorted((*folder.glob("*.png"), *folder.glob("*.gif"), *folder.glob("*.csv"))):
        stored.log_file(path, "evaluate")
    if (folder / "latents.json").is_file():
        stored.log_file(folder / "latents.json", "evaluate")
        stored.tag("latents", _json(folder / "latents.json")["sentence"])
    if (folder / "anomalies.json").is_file():
        metrics |= anomaly_numbers(_json(folder / "anomalies.json"))
    return stored.log_result(int(facts["steps"]), {f"evaluate.{name}": value for name, value in metrics.items()})


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def fingerprint(run: str) -> str:
    """Return the hash of all files of a run's outputs, of which `replay` logs some."""
    total = hashlib.sha256()
    for folder in (paths.out("train", run), paths.out("evaluate", run)):
        if folder.is_dir():
            total.update(tracking.folder_sha256(folder).encode())
    return total.hexdigest()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        stage, run = path.parent.parent.name, path.parent.name
        raise MissingOutputError(f"{path} is not there: run `dvc repro {stage}@{run}` first") from None
    except ValueError as error:
        raise MissingOutputError(f"{path}: not JSON ({error}); run `dvc repro -f` for its stage again") from None
