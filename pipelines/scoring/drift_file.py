"""Scores the rows of a file, compares their scores with those of the model's calibration rows, and notes the result.

The result is a line of a history, whose picture is drawn anew. Calibration rows are normal rows that the training has
not seen.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import DataError
from pipelines import figures
from pipelines.commands.output_file import whole
from pipelines.data.sources.files import printable
from pipelines.evaluation.score_sheet import usual_rate
from pipelines.runtime.words import counted
from pipelines.scoring.column_drift import column_drift
from pipelines.scoring.drift import QUANTILES, append, bands, compare, read_history
from pipelines.scoring.scored_rows import if_trained_on, no_calibration, open_scorer, score_rows

NO_COLUMN = "no single column differs by more than chance explains"
NOT_COUNTED = "no columns are compared: the model was registered by an earlier release; `make repro` registers it anew"
USUAL_LEVEL = 0.01  # of a false alarm of the scores, and of one of the columns
MOST_DRAWN = 60  # lines in the picture of a history, the last ones
MOST_COLUMNS = 5  # of those that differ, so many are told


def drift_file(
    model: str,
    path: Path,
    *,
    score: str | None,
    calibration: Path | None,
    history: Path,
    reading: Mapping[str, Any] | None = None,
    alarm: float | None = None,
) -> bool:
    """Compare the rows at `path` with a model's calibration rows; add a line to `history`, and draw the history.

    model: the name of a registered model, or a checkpoint's folder
    score: the name of an anomaly score; None: the model's default
    calibration: the file of calibration scores, for a checkpoint's folder; None for a registered model, which has one
    history: the CSV to which the line is added; its picture, of all lines of this version and score, gets the same
    name with .png, or with .S.png for another score S than the default
    reading: how the text of a table is read, as for `open_scorer`
    alarm: the probability of a false alarm, of the scores and all columns together; None: USUAL_LEVEL for each of both

    Prints the result, and returns whether the scores or a column differ. Raises DataError if the model has no
    calibration rows or if the file has too few rows.
    """
    scorer = open_scorer(model, score, calibration, reading)
    if scorer.calibration is None:
        raise DataError(no_calibration(model, scorer))
    read_history(history)  # a file that is none is told before the work
    columns = column_drift(scorer.stored.calibration, scorer.stored.facts)
    scored = score_rows(scorer, path, watch=columns.add if columns else None)
    name = printable(path.name)
    check = compare(scored.scores, scorer.calibration, name=name, model=scorer.stored.title, score=scorer.name)
    made_with = (check.model, check.score)  # scores of other versions are not of the same scale
    checks = [one for one in append(history, check) if (one.model, one.score) == made_with]
    picture = history.with_suffix(".png" if score is None else f".{score}.png")
    with whole(picture) as file:
        drawn = checks[-MOST_DRAWN:]
        labels = [f"{one.input}\n{one.time[:10]}" for one in drawn]
        usual = np.quantile(scorer.calibration, QUANTILES)
        title = f"{scorer.stored.title}: {scorer.name} of each file, beside calibration rows"
        title += f"; the last {len(drawn)} of {len(checks)}" if len(drawn) < len(checks) else ""
        figures.score_bands(labels, bands(drawn), usual, np.array([one.p for one in drawn]), file, title=title)
    level = USUAL_LEVEL if alarm is None else alarm / 2 if columns else alarm
    if check.p >= max(level, USUAL_LEVEL):
        words = f"no difference from the calibration rows is seen (p {check.p:.2g})"
    elif check.p >= level:
        halves = f" (half of {alarm:g}; the columns have the other half)" if columns else ""
        words = (
            f"a difference from the calibration rows is likely (p {check.p:.2g}), but for an alarm p has to be below "
            f"{level:g}{halves}"
        )
    else:
        words = f"its rows score otherwise than the calibration rows (p {check.p:.1g})"
    rows, share = check.rows + check.problems, 100 * usual_rate(len(scorer.calibration))
    print(f"{name}: {words}; {check.unusual:.1%} of its {rows:,} rows are among the {share:.3g}% most unusual")
    if check.problems:
        have, count = ("has", "counts") if check.problems == 1 else ("have", "count")
        print(f"{check.problems:,} of them {have} no score and {count} as unusual:")
        print("\n".join(_kinds(scored.problems)))
    moved = columns.moved(level) if columns else []
    if columns:
        if check.problems:
            print(f"of the {check.rows:,} rows that have a score:")
        print("\n".join(map(str, moved[:MOST_COLUMNS])) if moved else NO_COLUMN)
        if len(moved) > MOST_COLUMNS:
            print(f"{len(moved) - MOST_COLUMNS} more columns differ")
    elif scorer.stored.calibration is not None and scorer.stored.calibration.usual is not None:
        print(NOT_COUNTED)
    if warning := if_trained_on(scorer.stored, path):
        print(warning)
    print(
        f"{history}: {len(checks)} {'line' if len(checks) == 1 else 'lines'} of {check.model} and {check.score}; "
        f"{picture} shows {'them' if len(drawn) == len(checks) else f'the last {len(drawn)}'}"
    )
    if alarm is not None:
        why = ["the scores"] * (check.p < level) + [f"column {one.column}" for one in moved[:MOST_COLUMNS]]
        print(f"alarm at {alarm:g}: {', '.join(why)}" if why else f"no alarm at {alarm:g}")
    return check.p < level or bool(moved)


def _kinds(problems: Mapping[int, str]) -> list[str]:
    """Return a line for each column that makes rows unusable, the most frequent first, with the problem of one row.

    problems: {index of a row: "COLUMN: why it has no score", or why without a column}
    """
    found: dict[str, list[str]] = {}
    for _, why in sorted(problems.items()):
        found.setdefault(why.partition(": ")[0], []).append(why)
    most = sorted(found.values(), key=len, reverse=True)
    lines = [f"{counted(len(some), 'row')}: {some[0]}" for some in most[:MOST_COLUMNS]]
    more = sum(map(len, most[MOST_COLUMNS:]))
    return [*lines, f"{counted(more, 'row')}: other reasons"] if more else lines
