"""drift: compares the scores of new rows with those of calibration rows, and keeps and draws the history.

    gen-models drift vae-clients clients_of_may.csv
    gen-models drift vae-clients clients_of_june.csv    # the second line of drift/vae-clients.csv

Each line of the history has the p-value of a test that the new rows score as the calibration rows do, the share of rows
that would be called at a false-positive rate of 5%, and quantiles of the scores. The picture beside it shows all lines.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipelines.commands.words import MODEL, ROWS
from pipelines.runtime import paths
from pipelines.runtime.stage import run


def main(argv: Sequence[str]) -> None:
    """drift MODEL INPUT [--score NAME] [--history FILE]"""
    parser = argparse.ArgumentParser(
        prog="gen-models drift", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help=MODEL)
    parser.add_argument("input", type=Path, help=ROWS)
    parser.add_argument("--score", metavar="NAME", help="nll, reconstruction, ...; by default its likelihood")
    parser.add_argument(
        "--calibration", type=Path, metavar="FILE", help="of a checkpoint: out/evaluate/RUN/calibration.safetensors"
    )
    parser.add_argument("--history", type=Path, metavar="FILE", help="FILE.csv; by default drift/MODEL.csv")
    asked = parser.parse_args(argv)
    from pipelines.commands.output_file import check_suffix
    from pipelines.scoring.drift_file import drift_file

    check_suffix(asked.history, (".csv",))
    name = asked.model.partition("@")[0].replace("/", "_")
    history = asked.history or paths.root() / "drift" / f"{name}.csv"
    drift_file(asked.model, asked.input, score=asked.score, calibration=asked.calibration, history=history)


if __name__ == "__main__":
    run(main)
