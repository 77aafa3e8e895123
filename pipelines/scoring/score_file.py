"""Scores the rows of a file or folder, decides which are anomalous, and writes the answer, reasons and a picture.

A row is called if it is marked as anomalous. Calibration rows are normal rows that the training has not seen.
"""

import math
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from gen_models.anomalies.conformal import attained, most_flagged, threshold
from gen_models.errors import DataError
from pipelines.commands.output_file import Answer, answering
from pipelines.data.row_names import beside
from pipelines.evaluation.reasons import Reason, Reasons
from pipelines.evaluation.score_sheet import SHEET_IMAGES, USUAL_RATE
from pipelines.runtime.words import counted
from pipelines.scoring.decisions import Decisions, Rule, decide, rule_of
from pipelines.scoring.kept_rows import KeptRows
from pipelines.scoring.score_picture import draw
from pipelines.scoring.scored_rows import ScoredRows, Scorer, if_trained_on, no_calibration, open_scorer, score_rows

WRITTEN_AT_ONCE = 65_536  # rows of an answer: its text takes more memory than its numbers
MOST_EXPLAINED = 10_000  # rows times columns: each takes some milliseconds
DIGITS = 8  # of p-values and q-values
LEAST_GAPS, MANY_GAPS = 3, 0.2  # a line says that rows stand out by empty cells if so many do, and this share of them
MANY = 100  # rows: of a larger number the first decimal says nothing
UNLIKELY = 0.001  # a line says that the scores differ from calibration scores if the test's p-value is below this


def score_file(
    model: str,
    path: Path,
    *,
    fpr: float | None = None,
    fdr: float | None = None,
    score: str | None = None,
    calibration: Path | None = None,
    out: Path | None = None,
    explain: Path | None = None,
    reasons: int = 0,
    strict: bool = False,
    reading: Mapping[str, Any] | None = None,
) -> None:
    """Score the rows at `path`, and write an answer with the columns that `gen-models score --help` explains.

    model        the name of a registered model, or a checkpoint's folder
    fpr, fdr     the false-positive or the false-discovery rate at which rows are called; at most one of them
    score        the name of an anomaly score; None: the model's default
    calibration  the file of calibration scores, for a checkpoint's folder; None for a registered model, which has one
    out          the file of the answer, beside which a picture is drawn; None: the answer is printed as CSV
    explain      a file for what each column adds to the scores of explained rows, or None
    reasons      how many rows are explained at most, those with the largest scores
    strict       whether to stop at the first row that cannot be scored
    reading      how the text of a table is read, as for `open_scorer`

    Raises DataError if the model has no such score, if it has too few calibration rows for the rate, or if no row can
    be scored (with strict, if any row cannot).
    """
    scorer = open_scorer(model, score, calibration, reading)
    if explain is not None and scorer.is_of_images:
        raise DataError(
            "--explain: what each column adds; images have none, and their maps are in the picture of --out"
        )
    known = scorer.calibration
    rule = rule_of(fpr, fdr, known, without=no_calibration(model, scorer))
    with ExitStack() as files:  # a file that cannot be written is told before the work
        answer = files.enter_context(answering(out))
        parts = files.enter_context(answering(explain)) if explain is not None else None
        scored, decisions, lines, edge = _write(
            answer, parts, scorer, path, rule, reasons=reasons, strict=strict, drawn=out is not None
        )
    if out is not None:
        draw(out.with_suffix(".png"), scored, scorer, decisions, rule, edge)
    lines.append(no_calibration(model, scorer) if known is None else if_trained_on(scorer.stored, path))
    for line in filter(None, lines):
        print(line, file=sys.stderr)


def _write(
    answer: Answer,
    parts: Answer | None,
    scorer: Scorer,
    path: Path,
    rule: Rule | None,
    *,
    reasons: int,
    strict: bool,
    drawn: bool,
) -> tuple[ScoredRows, Decisions, list[str], float]:
    """Score the rows at `path`, and write the answer.

    Returns the scored rows; the decisions; lines that sum up, some of them ""; and the score from which on rows are
    called, or NaN.

    parts: where to write what each column adds to the scores of explained rows, or None
    drawn: whether the most anomalous, borderline and most normal images are wanted for a picture
    The other arguments are as for `score_file`.
    """
    known, stored = scorer.calibration, scorer.stored
    edge = _edge(known, rule)
    shown = SHEET_IMAGES if scorer.is_of_images and drawn else 0
    scored = score_rows(scorer, path, most_anomalous=reasons, shown=shown, edge=edge, strict=strict)
    decisions = decide(scored.scores, known, rule)
    explainer = Reasons(scorer.fitted, scorer.name, stored.calibration, stored.facts)
    explained = min(reasons, max(1, MOST_EXPLAINED // max(1, explainer.columns)))
    told = _explained(scored.anomalous, explainer, decisions, explained) if reasons else {}
    rows = len(scored.scores)
    found = {
        "score": scored.scores,
        "p": decisions.p.round(DIGITS),
        "q": decisions.q.round(DIGITS),
        "decision": decisions.words,
        "rank": [None if math.isnan(rank) else int(rank) for rank in decisions.rank],
        "reason": _spread(rows, {place: reason.text for place, reason in told.items()}),
        "problem": _spread(rows, scored.problems),
        "model": np.full(rows, stored.title, dtype=object),
        "data": np.full(rows, str(stored.lineage.get("data_sha256", ""))[:12], dtype=object),
    }
    columns = beside(scored.columns, found)
    for first in range(0, max(rows, 1), WRITTEN_AT_ONCE):
        answer.write({name: values[first : first + WRITTEN_AT_ONCE] for name, values in columns.items()})
    if parts is not None:
        parts.write(_parts(scored.columns, told))
    lines = [_called(scored.scores, decisions, rule, known), _shift(scored.scores, known, scorer.is_of_images)]
    lines += [explainer.why_none if reasons else ""]
    if len(told) == explained < reasons:
        lines.append(
            f"only the {explained} most anomalous rows have reasons: one of {explainer.columns:,} columns takes long"
        )
    parts_first = [reason.parts[0] for reason in told.values() if reason.parts]
    gaps = sum(part["value"] is None and part["adds"] > 0 for part in parts_first)
    if gaps >= LEAST_GAPS and gaps > MANY_GAPS * len(told):
        lines.append(
            f"{gaps} of the {len(told)} rows with a reason stand out by an empty cell first: rows with one stand out "
            "more often than others if the training rows have few; fill it, or give the column `role: ignore`"
        )
    if scored.problems:
        why = scored.problems[min(scored.problems)]
        have = "has" if len(scored.problems) == 1 else "have"
        lines.append(
            f"{counted(len(scored.problems), 'row')} {have} no score and so no decision, which only a person can make; "
            f"the column `problem` says why, such as: {why}"
        )
    edge = edge if rule is None or rule.kind == "fpr" else _least_called(scored.scores, decisions)
    return scored, decisions, lines, edge


def _edge(known: np.ndarray | None, rule: Rule | None) -> float:
    """Return the score from which on rows are called, at the rule's rate or at USUAL_RATE.

    It is NaN where there is none: without calibration rows, with too few of them, or for a false-discovery rate, whose
    edge depends on all rows of the file. known: scores of calibration rows (n,), or None
    """
    if known is None or (rule is not None and rule.kind == "fdr"):
        return math.nan
    edge = threshold(known, rule.rate if rule else USUAL_RATE)
    return edge if math.isfinite(edge) else math.nan


def _least_called(scores: np.ndarray, decisions: Decisions) -> float:
    """Return the number just below the smallest score of a called row; NaN if none is called."""
    called = scores[decisions.is_called] if decisions.is_called is not None else scores[:0]
    return float(np.nextafter(called.min(), -math.inf)) if len(called) else math.nan


def _explained(kept: KeptRows, explainer: Reasons, decisions: Decisions, most: int) -> dict[int, Reason]:
    """Return {index of a row in the file: its reason} for the kept rows that are called, at most the first `most`.

    If the user stated no rate, the rows that count as called are those with p <= USUAL_RATE or, without calibration
    rows, all kept rows.
    """
    if kept.x is None:
        return {}
    chosen = decisions.is_called
    if chosen is None:
        chosen = np.isnan(decisions.p) | (decisions.p <= USUAL_RATE)
    chosen = np.flatnonzero(chosen[kept.places])[:most]
    return dict(zip(kept.places[chosen].tolist(), explainer.of(kept.x[chosen]), strict=True))


def _parts(columns: Mapping[str, np.ndarray], told: Mapping[int, Reason]) -> dict[str, Any]:
    """Return the columns of a file with a line for each explained row and column: how much it adds to the row's score.

    columns: {name: value for each row} of the columns that identify rows; told: {index of a row: its reason}
    """
    lines = [(place, part) for place, reason in told.items() for part in reason.parts]
    places = [place for place, _ in lines]
    names = {name: values[places] for name, values in columns.items()}
    found = {
        "column": np.array([part["column"] for _, part in lines], dtype=object),
        "value": [_text(part["value"]) for _, part in lines],
        "adds": np.array([float(f"{part['adds']:.6g}") for _, part in lines], dtype=np.float64),
        "usual": np.array([part["usual"] for _, part in lines], dtype=object),
    }
    return beside(names, found)


def _called(scores: np.ndarray, decisions: Decisions, rule: Rule | None, known: np.ndarray | None) -> str:
    """Return a sentence that says how many rows are called; without a rule, how many were scored.

    known: scores of calibration rows, or None
    """
    rows = int((~np.isnan(scores)).sum())
    if not len(scores):
        return "there is no row in the file"
    if known is None:  # then no rate can be stated
        return ""
    if rule is None or decisions.is_called is None:
        return f"{rows:,} rows scored; state --fpr 0.01 or --fdr 0.1 for decisions"
    called = int(decisions.is_called.sum())
    words = f"{called:,} of {rows:,} rows are flagged as anomalies at {rule.words}"
    if rule.kind == "fpr":
        usual, most = attained(len(known), rule.rate) * rows, most_flagged(rows, len(known), rule.rate)
        told = (
            f"{words}; if all rows were normal, about {usual:,.{int(usual < MANY)}f} would be flagged (up to {most:,} "
            f"by chance, with {len(known):,} calibration rows)"
        )
        if rule.rate * (len(known) + 1) < 2:
            told += "; only scores above all of these are flagged, and more calibration rows would find more"
        return told
    if not called:
        least = math.ceil(rows / (rule.rate * (len(known) + 1)) - 1e-9)  # less than the error of the division
        if least <= 1:
            return words
        return (
            f"{words}; with {len(known):,} calibration rows no p-value is below {1 / (len(known) + 1):.2g}, so at this "
            f"rate at least {least:,} rows must stand out together before any is flagged; to judge each row by itself, "
            "say --fpr"
        )
    return words


def _shift(scores: np.ndarray, known: np.ndarray | None, is_of_images: bool) -> str:
    """Return a warning if the scores are distributed otherwise than `known`, the calibration scores; else ""."""
    found = scores[~np.isnan(scores)]
    if known is None or not len(found):
        return ""
    p = float(ks_2samp(known, found).pvalue)
    if p >= UNLIKELY:
        return ""
    is_larger = bool(np.median(found) > np.median(known))
    said = (
        f"the scores are {'larger' if is_larger else 'smaller'} than those of calibration rows (p {p:.1g}): these rows "
        f"are not of the same kind{'' if is_larger else ', or training rows are among them'}"
    )
    return said if is_of_images else f"{said}; `gen-models drift` names single columns that differ"


def _spread(rows: int, values: Mapping[int, str]) -> np.ndarray:
    found = np.full(rows, "", dtype=object)
    for place, value in values.items():
        found[place] = value
    return found


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
