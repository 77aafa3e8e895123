"""drift: compares the anomaly scores of new rows with those of calibration rows, and adds a line to a history.

    gen-models drift vae-digits out/data/digits/test.x.npy
    gen-models drift gmm-clients clients_of_may.csv
    gen-models drift gmm-clients clients_of_june.csv    # the second line of drift/gmm-clients.csv
    gen-models drift gmm-clients clients_of_july.csv --alarm 0.001    # exits with 3 if they differ

Calibration rows were kept out of the training. Each line of the history has the p-value of a test that the scores of
the new rows and of the calibration rows have the same distribution, the fraction of new rows that would be flagged
anomalous at a false-positive rate of 5%, and quantiles of the scores. A picture next to the history shows all lines of
the same version and score. For a table, the columns whose values differ from those of the training rows are named.

With --alarm RATE, the exit code is 3 if the scores or a column differ. If nothing has changed, the probability of an
alarm is about RATE at most. Without it, the exit code says only whether the comparison could be made.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines import arguments
from pipelines.registry.names import SCHEME
from pipelines.runtime import paths
from pipelines.runtime.stage import parse, run
from pipelines.scoring.drift_file import drift_file

ALARM = 3  # the exit code; 1 and 2 are those of errors


def main(argv: Sequence[str]) -> None:
    """Compare the scores of a file's rows with the calibration scores; argv: the arguments after `drift`."""
    asked = parse(argv, "drift", __doc__, arguments.drift)
    history = asked.history or paths.root() / "drift" / f"{_name_of(asked.model)}.csv"
    has_moved = drift_file(
        asked.model, asked.input, score=asked.score, calibration=asked.calibration, history=history,
        reading=arguments.reading(asked), alarm=asked.alarm,
    )  # fmt: skip
    if has_moved and asked.alarm is not None:
        sys.exit(ALARM)


def _name_of(model: str) -> str:
    """Return the name of a model's history: that of the registered model, of whatever version, or the folder's."""
    if Path(model).is_dir():
        return model.rstrip("/").replace("/", "_")
    return re.split("[@/]", model.removeprefix(SCHEME))[0]


if __name__ == "__main__":
    run(main)
