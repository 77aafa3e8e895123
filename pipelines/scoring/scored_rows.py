"""Scores the rows of a file or folder, which are read in blocks.

Only scores, names, and the few rows that will be explained or drawn stay in memory.
"""

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gen_models.anomalies.calibration import FILE, Calibration, load_calibration
from gen_models.anomalies.scores import FittedScores, offered, unknown_score
from gen_models.checkpoint import digest
from gen_models.errors import DataError
from gen_models.evaluating import by_rows
from pipelines.commands.input_rows import Rows, count_rows, place_of, read_as, read_blocks
from pipelines.commands.stored_model import StoredModel, checkpoint_in, open_stored
from pipelines.data.sources.files import origin_of, printable
from pipelines.registry import serving
from pipelines.registry.serving import NO_CALIBRATION
from pipelines.registry.version_facts import from_tags
from pipelines.runtime.progress import Progress
from pipelines.scoring.kept_rows import KeptRows


@dataclass(frozen=True)
class Scorer:
    """One anomaly score of a stored model.

    stored       the model, opened from the registry or from a checkpoint's folder
    fitted       all anomaly scores of the model; name: which of them this is
    calibration  its values on calibration rows (normal rows that the training has not seen), (n,); None without these
    """

    stored: StoredModel
    fitted: FittedScores
    name: str
    calibration: np.ndarray | None

    @property
    def is_of_images(self) -> bool:
        return len(self.stored.facts["event_shape"]) == 3


@dataclass
class ScoredRows:
    """The scores of all rows of a file, and some of the rows.

    anomalous   the rows with the largest scores, which were kept to be explained or drawn
    borderline  the rows with scores nearest to a given score, which were kept to be drawn
    normal      the rows with the smallest scores, which were kept to be drawn
    scores      (rows,) float64, NaN for a row that could not be scored
    columns     {name: a value for each row} of the columns that identify rows
    problems    {index of a row: why it could not be scored}
    """

    anomalous: KeptRows
    borderline: KeptRows
    normal: KeptRows
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)


def open_scorer(
    model: str,
    score: str | None = None,
    calibration: Path | None = None,
    reading: Mapping[str, Any] | None = None,
) -> Scorer:
    """Open a model, and return one of its anomaly scores.

    model: the name of a registered model, or a checkpoint's folder, as `open_stored` takes it
    score: the name of the score; None: the model's default
    calibration: the file of calibration scores, for a checkpoint's folder; a registered version brings its own
    reading: how the text of a table is read, as `read_as` takes it; None: as the training file was

    Raises DataError if the model has no such score, or if the file of calibration scores belongs to another model.
    """
    stored = open_stored(model)
    known = _calibration(calibration, model) if calibration else stored.calibration
    fitted = serving.row_scores(stored.model, stored.facts, known)
    name = score or fitted.default
    if name not in fitted.names:
        if known is None and name in offered(stored.model):
            raise DataError(
                f"score {name!r} is fitted to training rows: give a registered version, or --calibration FILE"
            )
        raise DataError(unknown_score(stored.model, name, fitted.names))
    stored = replace(stored, calibration=known, facts=read_as(stored.facts, **(reading or {})))
    return Scorer(stored, fitted, name, known.scores.get(name) if known else None)


def score_rows(
    scorer: Scorer,
    path: Path,
    *,
    most_anomalous: int = 0,
    shown: int = 0,
    edge: float = 0.0,
    strict: bool = False,
    watch: Callable[[np.ndarray], None] | None = None,
) -> ScoredRows:
    """Score all rows of a file or folder, and keep some of the rows.

    most_anomalous: how many rows with the largest scores are kept, to be explained
    shown: how many rows are kept to be drawn, of each of three kinds: with the largest scores, with the smallest, and
    with scores nearest to `edge`; of the smallest twice and of the last three times as many, as a row may be of several
    strict: whether to stop at the first row that cannot be scored
    watch: called with the scored rows of each block, (rows, *event)

    Raises DataError if no row can be scored. With strict, raises it for the first row that cannot be scored.
    """
    found = ScoredRows(KeptRows(max(most_anomalous, shown)), KeptRows(3 * shown), KeptRows(2 * shown))
    scores: list[np.ndarray] = []
    columns: list[dict[str, np.ndarray]] = []
    start = 0
    with closing(Progress("score", count_rows(path), "row", stream=sys.stderr)) as progress:
        for block in read_blocks(path, scorer.stored.facts):
            values = _of_block(scorer, block)
            where = {start + place: (block.names[place], why) for place, why in sorted(block.problems.items())}
            for name, why in where.values() if strict else ():
                raise DataError(f"{place_of(path, name, scorer.stored.facts)}: {why}")
            places = np.arange(start, start + len(values))
            found.anomalous.add(-values, places, block.x)
            found.normal.add(values, places, block.x)
            found.borderline.add(np.abs(values - edge), places, block.x)
            if watch is not None:
                watch(block.x[~np.isnan(values)])
            scores.append(values)
            columns.append(_identity(block))
            found.problems |= {place: why for place, (_, why) in where.items()}
            start += len(values)
            progress.show(start, f"{len(found.problems)} with a problem")
            if where and len(found.problems) == start:
                first, why = where[min(where)]
                last = f"{place_of(path, first, scorer.stored.facts)}: {why} (no row can be scored)"
    if len(found.problems) == start > 0:
        raise DataError(last)
    found.scores = np.concatenate(scores)
    found.columns = {key: np.concatenate([block[key] for block in columns]) for key in columns[0]}
    return found


def no_calibration(model: str, scorer: Scorer) -> str:
    """Return one line that says that a model has no calibration rows, and how to give it some.

    model: the name of a registered model, or a checkpoint's folder
    """
    folder = checkpoint_in(model)
    if folder is None:
        return NO_CALIBRATION
    run = folder.resolve().parent
    found = run.parent.parent / "evaluate" / run.name / FILE
    where = shlex.quote(os.path.relpath(found)) if found.is_file() else f"out/evaluate/RUN/{FILE}"
    return (
        f"{scorer.stored.title}: a checkpoint has no calibration rows, so no p-values; give --calibration {where}, "
        "which `evaluate` writes for data with a share `calibration:` in split"
    )


def if_trained_on(stored: StoredModel, path: Path) -> str:
    """Return a line that warns that `path` is the file that the model's data were made from; "" if it is not."""
    source = from_tags(stored.lineage, "source", {})
    if not path.is_file() or source.get("bytes") != path.stat().st_size:
        return ""
    if origin_of(path)["sha256"] != source.get("sha256"):
        return ""
    return (
        f"{printable(path.name)} is the file that {stored.title} was made from: most of its rows are training rows, "
        "whose scores are often smaller than those of new rows, so fewer of them are flagged"
    )


def _calibration(path: Path, model: str) -> Calibration:
    """Read a file of calibration scores for the checkpoint in a folder.

    Raises DataError if the scores were computed with another checkpoint, or if the folder holds no checkpoint.
    """
    if (folder := checkpoint_in(model)) is None:
        raise DataError(f"--calibration: {model} is a registered model, which has its own; leave the option out")
    found = load_calibration(path)
    if found.facts.get("checkpoint_sha256") != digest(folder):
        raise DataError(f"{path}: calibration scores of another model than {folder}; give the file of the same run")
    return found


def _of_block(scorer: Scorer, block: Rows) -> np.ndarray:
    """Return the score of each row of a block, float64; NaN for a row with a problem.

    If the model's score of a row is NaN, the row gets a problem that says so.
    """
    if not len(block.x):
        return np.zeros(0)
    x = torch.from_numpy(np.ascontiguousarray(block.x))
    values = by_rows(lambda rows: scorer.fitted(scorer.name, rows, is_checked=False), x).double().numpy()
    for place in np.flatnonzero(np.isnan(values)).tolist():
        block.problems.setdefault(place, f"the model's score {scorer.name} of this row is not a number")
    values[list(block.problems)] = np.nan
    return values


def _identity(block: Rows) -> dict[str, Any]:
    """Return {name: a value for each row} of what identifies the rows of a block.

    These are the table's columns of identifiers, the paths of images or, without either, the rows' indices in the file.
    """
    if block.ids:
        return dict(block.ids)
    if isinstance(block.names, range):
        return {"row": np.arange(block.names.start, block.names.stop)}
    return {"path": np.array(block.names, dtype=object)}
