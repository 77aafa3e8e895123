"""Scores the rows of a file or folder, decides, and writes the answer, explanations and a picture.

Rows are read in blocks and scored as they come; only their scores and names stay, and the rows that are explained or
drawn.
"""

import math
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import ks_2samp

from gen_models.anomalies.conformal import threshold
from gen_models.anomalies.scores import FittedScores
from gen_models.errors import DataError, unknown
from gen_models.evaluating import by_rows
from pipelines import figures
from pipelines.commands.input_rows import Rows, count_rows, place_of, read_blocks
from pipelines.commands.output_file import answering, whole
from pipelines.commands.stored_model import StoredModel, open_stored
from pipelines.registry import serving
from pipelines.runtime.progress import Progress
from pipelines.scoring.decisions import Decisions, Rule, decide, rule_of
from pipelines.scoring.kept_rows import KeptRows
from pipelines.scoring.reasons import Reason, Reasons

SHEET_IMAGES = 12  # of each kind on a contact sheet
USUAL_RATE = 0.05  # of the false positives at the threshold beside which rows are borderline, where no rate is stated
UNLIKELY = 0.001  # a p-value of the test on the distribution of scores below which it is said


@dataclass
class Scored:
    """The rows of a file.

    scores: of each row, NaN for one with a problem; columns: what identifies the rows, in blocks
    anomalous, borderline, normal: rows that are kept to be explained or drawn
    """

    anomalous: KeptRows
    borderline: KeptRows
    normal: KeptRows
    scores: list[np.ndarray] = field(default_factory=list)
    columns: list[dict[str, Any]] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)


def score_file(
    model: str,
    path: Path,
    *,
    fpr: float | None = None,
    fdr: float | None = None,
    score: str | None = None,
    out: Path | None = None,
    explain: Path | None = None,
    reasons: int = 0,
    strict: bool = False,
) -> None:
    """Score the rows at `path`, and write what `gen-models score --help` says.

    fpr, fdr: the rate at which rows are called, or neither; score: None for the model's default; reasons: how many rows
    are explained. Raises DataError if the model has no such score, or too few calibration rows for the rate.
    """
    stored = open_stored(model)
    fitted = serving.row_scores(stored.model, stored.facts, stored.calibration)
    name = score or fitted.default
    if name not in fitted.names:
        raise DataError(unknown("score", name, fitted.names))
    known = stored.calibration.scores.get(name) if stored.calibration else None
    rule = rule_of(fpr, fdr, known)
    explainer = Reasons(fitted, name, stored.calibration.usual if stored.calibration else None, stored.facts)
    if known is None:
        print(f"no p-values: {stored.title} has no calibration rows", file=sys.stderr)
    scored = _score(path, stored, fitted, name, edge=_edge(known, rule), reasons=reasons, strict=strict)
    values = np.concatenate(scored.scores)
    decisions = decide(values, known, rule)
    told = _explained(scored.anomalous, explainer, decisions)
    columns = {key: np.concatenate([block[key] for block in scored.columns]) for key in scored.columns[0]}
    with answering(out) as answer:
        answer.write(
            columns
            | {"score": values, "p": decisions.p, "q": decisions.q, "decision": decisions.words}
            | {"rank": [None if math.isnan(rank) else int(rank) for rank in decisions.rank]}
            | {"reason": _spread(len(values), {place: reason.text for place, reason in told.items()})}
            | {"problem": _spread(len(values), scored.problems)}
            | {"model": _same(stored.title, len(values)), "data": _same(_data_of(stored), len(values))}
        )
    if explain is not None:
        _write_parts(explain, columns, told)
    if out is not None:
        _draw(out.with_suffix(".png"), scored, values, known, rule, explainer, stored)
    _say(values, decisions, rule, known, scored.problems, explainer if reasons else None)


def _score(
    path: Path, stored: StoredModel, fitted: FittedScores, name: str, *, edge: float, reasons: int, strict: bool
) -> Scored:
    """Score all rows. edge: the score of borderline rows, or NaN"""
    kept = SHEET_IMAGES if len(stored.facts["event_shape"]) == 3 else 0
    found = Scored(KeptRows(max(reasons, kept)), KeptRows(kept), KeptRows(kept))
    start = 0
    with closing(Progress("score", count_rows(path), "row", stream=sys.stderr)) as progress:
        for block in read_blocks(path, stored.facts):
            for place in sorted(block.problems) if strict else ():
                raise DataError(f"{place_of(path, block.names[place], stored.facts)}: {block.problems[place]}")
            scores = _of_block(fitted, name, block)
            places = np.arange(start, start + len(scores))
            found.anomalous.add(-scores, places, block.x)
            found.normal.add(scores, places, block.x)
            found.borderline.add(np.abs(scores - edge), places, block.x)
            found.scores.append(scores)
            found.columns.append(_identity(block))
            found.problems |= {start + place: problem for place, problem in block.problems.items()}
            start += len(scores)
            progress.show(start, f"{len(found.problems)} with a problem")
    if found.problems and len(found.problems) == start:
        first = min(found.problems)
        raise DataError(f"{path}, row {first}: {found.problems[first]} (no row can be scored)")
    return found


def _of_block(fitted: FittedScores, name: str, block: Rows) -> np.ndarray:
    """Return the score of each row, float64, NaN for a row with a problem; a score that is no number is a problem."""
    if not len(block.x):
        return np.zeros(0)
    x = torch.from_numpy(np.ascontiguousarray(block.x))
    scores = by_rows(lambda rows: fitted(name, rows, is_checked=False), x).double().numpy()
    for place in np.flatnonzero(np.isnan(scores)).tolist():
        block.problems.setdefault(place, f"the model's score {name} of this row is not a number")
    scores[list(block.problems)] = np.nan
    return scores


def _identity(block: Rows) -> dict[str, Any]:
    """Return the columns that identify rows: those of the table, the path of an image, or the row's number from 0."""
    if block.ids:
        return dict(block.ids)
    if isinstance(block.names, range):
        return {"row": np.arange(block.names.start, block.names.stop)}
    return {"path": np.array(block.names, dtype=object)}


def _explained(kept: KeptRows, explainer: Reasons, decisions: Decisions) -> dict[int, Reason]:
    """Return {place: reason} of the kept rows, of those that are called if there is a rule."""
    if kept.x is None:
        return {}
    chosen = np.ones(len(kept.places), dtype=bool)
    if decisions.is_called is not None:
        chosen = decisions.is_called[kept.places]
    return dict(zip(kept.places[chosen].tolist(), explainer.of(kept.x[chosen]), strict=True))


def _write_parts(path: Path, columns: Mapping[str, Any], told: Mapping[int, Reason]) -> None:
    """Write a line for each explained row and column: what the column adds to the score."""
    lines = [(place, part) for place, reason in told.items() for part in reason.parts]
    places = [place for place, _ in lines]
    with answering(path) as answer:
        answer.write(
            {name: values[places] for name, values in columns.items()}
            | {"column": np.array([part["column"] for _, part in lines], dtype=object)}
            | {"value": [_text(part["value"]) for _, part in lines]}
            | {"adds": np.array([part["adds"] for _, part in lines], dtype=np.float64)}
            | {"usual": np.array([part["usual"] for _, part in lines], dtype=object)}
        )


def _draw(
    path: Path,
    scored: Scored,
    values: np.ndarray,
    known: np.ndarray | None,
    rule: Rule | None,
    explainer: Reasons,
    stored: StoredModel,
) -> None:
    """Draw the contact sheet of images, or the scores of a table's rows."""
    edge = _edge(known, rule)
    if scored.normal.x is None:
        with whole(path) as file:
            title = f"{stored.title}: scores of {np.isfinite(values).sum():,} rows"
            figures.score_histogram(values, known, edge, file, title=title)
        return
    kinds = {"most anomalous": scored.anomalous, "borderline": scored.borderline, "most normal": scored.normal}
    rows = {name: kept.x[:SHEET_IMAGES] for name, kept in kinds.items() if kept.x is not None}
    maps = {} if explainer.why_none else {name: explainer.maps(images) for name, images in rows.items()}
    scale = stored.calibration.facts.get("map_scale") if stored.calibration else None
    with whole(path) as file:
        figures.score_sheet(rows, maps, file, levels=stored.facts["levels"], map_scale=scale, title=stored.title)


def _say(
    values: np.ndarray,
    decisions: Decisions,
    rule: Rule | None,
    known: np.ndarray | None,
    problems: Mapping[int, str],
    explainer: Reasons | None,
) -> None:
    """Print a summary for people, to where a command's answer does not go."""
    rows = int(np.isfinite(values).sum())
    if rule is None:
        words = f"{rows:,} rows scored; state --fpr 0.01 or --fdr 0.1 for decisions" if known is not None else ""
    else:
        called = int(decisions.is_called.sum()) if decisions.is_called is not None else 0
        words = f"{called:,} of {rows:,} rows are called anomalies at {rule.words}"
        if rule.kind == "fpr":
            words += f"; {rule.rate * rows:,.1f} would be if all rows were normal"
    for line in filter(None, [words, _shift(values, known), explainer.why_none if explainer else ""]):
        print(line, file=sys.stderr)
    if problems:
        print(f"{len(problems):,} rows have no score; the column `problem` says why", file=sys.stderr)


def _shift(values: np.ndarray, known: np.ndarray | None) -> str:
    """Return a line if the scores are distributed otherwise than those of calibration rows; else ""."""
    finite = values[np.isfinite(values)]
    if known is None or not len(finite):
        return ""
    p = float(ks_2samp(known, finite).pvalue)
    if p >= UNLIKELY:
        return ""
    where = "larger" if np.median(finite) > np.median(known) else "smaller"
    return f"the scores are {where} than those of calibration rows (p {p:.1g}): these rows are not of the same kind"


def _edge(known: np.ndarray | None, rule: Rule | None) -> float:
    """Return the score from which on a row is called, at the rule's rate or, without one, at USUAL_RATE; or NaN."""
    return math.nan if known is None else threshold(known, rule.rate if rule else USUAL_RATE)


def _data_of(stored: StoredModel) -> str:
    """Return the first digits of the hash of the data that the model was trained on, or ""."""
    return str(stored.lineage.get("data_sha256", ""))[:12]


def _spread(rows: int, values: Mapping[int, str]) -> np.ndarray:
    found = np.full(rows, "", dtype=object)
    for place, value in values.items():
        found[place] = value
    return found


def _same(value: str, rows: int) -> np.ndarray:
    return np.full(rows, value, dtype=object)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
