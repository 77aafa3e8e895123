"""stability: trains a run again with other seeds: how far do its numbers and the rows that it flags depend on chance?

    gen-models stability gmm-digits_normal
    gen-models stability vae-digits_normal --seeds 5 --fpr 0.01 --out flagged.csv

The trainings have the same data, split, setting and code. The first seed is that of params.yaml, and the others follow
it. For each number of the evaluation on test rows, the mean, the standard deviation and the range over the seeds are
printed. If the run has an anomaly score and its data have calibration rows, so are the rank correlation of the scores
of two trainings, and how many test rows are flagged as anomalous by all trainings and by at least one. With --out, each
test row that has a score gets the number of trainings that flag it, and its p-value after each training.

A training that is done stays in work/ until `gen-models gc`, so that more seeds later cost only their own time. Nothing
in out/ changes, and no model is registered; in MLflow, each training is a run of its own, such as "vae-digits, seed 1".
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.anomalies.conformal import require_rows
from gen_models.errors import DataError
from pipelines import arguments
from pipelines.commands.output_file import answering
from pipelines.config.params import params
from pipelines.data.store import Dataset, open_data
from pipelines.evaluation.anomalous_rows import as_people_know
from pipelines.evaluation.prepared_rows import PreparedRows
from pipelines.evaluation.score_sheet import usual_rate
from pipelines.runtime import paths
from pipelines.runtime.stage import hold, parse, run
from pipelines.scoring.stability import Calls, calls, numbers, require_two
from pipelines.training.other_seeds import evaluations

DIGITS = 8  # of p-values
NO_CALLS = "flags no rows: it has no anomaly score with calibration rows"


def main(argv: Sequence[str]) -> None:
    """Train a run with several seeds and print how far the results agree; argv: the arguments after `stability`."""
    asked, known = parse(argv, "stability", __doc__, arguments.stability), params()
    data = open_data(known.run(asked.run).data)
    calibration = len(PreparedRows(data).normal("calibration")) if "calibration" in data.splits else 0
    rate = usual_rate(calibration) if asked.fpr is None else asked.fpr
    no_file = DataError(f"--out {asked.out}: {asked.run} {NO_CALLS}; leave out --out")
    if asked.out is not None and not calibration:
        raise no_file
    if asked.fpr is not None and not calibration:
        raise DataError(f"--fpr: {asked.run} {NO_CALLS}; leave out --fpr")
    if asked.fpr is not None and calibration:
        require_rows(calibration, rate)
    with ExitStack() as held:  # what cannot be written is told before the trainings
        answer = held.enter_context(answering(asked.out)) if asked.out is not None else None
        for stage in ("train", "evaluate"):  # as play does
            held.enter_context(hold(paths.out(stage, asked.run)))
        folders = evaluations(known, asked.run, range(known.seed, known.seed + asked.seeds))
        require_two(asked.run, folders)
        print(f"{asked.run}, trained with the seeds {', '.join(map(str, folders))} on the same rows")
        for name, values in numbers(folders).items():
            print(f"  {name:<13} {_spread(values)}")
        found = calls(asked.run, folders, rate)
        for line in _in_words(found, rate) if found else [f"{asked.run} {NO_CALLS}"]:
            print(line)
        if answer is not None:
            if found is None:
                raise no_file
            answer.write(_by_row(found, folders, data))


def _spread(values: np.ndarray) -> str:
    sd, mean = float(values.std(ddof=1)), float(values.mean())
    return f"{mean:.5g} +- {sd:.2g} (standard deviation), from {values.min():.5g} to {values.max():.5g}"


def _in_words(found: Calls, rate: float) -> list[str]:
    trainings, rows = found.p.shape
    called = ", ".join(map(str, found.is_called.sum(axis=1)))
    by_all, by_any = int((found.flagged_by == trainings).sum()), int((found.flagged_by > 0).sum())
    rank = f"{min(found.rank):.3f} to {max(found.rank):.3f}" if found.rank else "not known, as one of them is constant"
    return [
        f"anomaly score {found.score} on {rows:,} test rows",
        f"  rank correlation of two trainings: {rank}",
        f"  flagged at a false-positive rate of {rate:.3g}: {called} rows; {by_all} by all trainings, "
        f"{by_any} by at least one",
    ]


def _by_row(found: Calls, folders: Mapping[int, Path], data: Dataset) -> dict[str, Any]:
    """Return the columns of the file, which has a line for each test row."""
    told = {f"p_seed_{seed}": p.round(DIGITS) for seed, p in zip(folders, found.p, strict=True)}
    return as_people_know(data, np.arange(found.p.shape[1]), {"flagged_by": found.flagged_by, **told})


if __name__ == "__main__":
    run(main)
