"""score: tells which rows are anomalous at a rate that you state, how surely, and why.

    gen-models score vae-clients clients_of_may.csv --fpr 0.01 --out scores.csv
    gen-models score vae-photos new_photos/ --fdr 0.1 --out scores.parquet

--fpr 0.01: of the normal rows, at most one in a hundred is called an anomaly. --fdr 0.1: of the rows that are called,
at most one in ten is normal, on average. Without either there is no decision. Each row of the answer has

    its identifier or path, or `row`, counted from 0
    score      larger is more anomalous
    p          the share of normal rows that have at least this score, by calibration rows that the model never saw
    q          the smallest false-discovery rate at which this row would be called
    decision   anomaly or normal
    rank       1 is the most anomalous
    reason     what is unusual about it: columns of a table with the values that are usual, a place in an image
    problem    why the row has no score; other rows are scored
    model, data   the model's version, and the hash of the data that it was trained on

Beside FILE.csv or FILE.parquet stands FILE.png: of a table the scores beside those of calibration rows, of images the
most anomalous, the borderline and the most normal ones, with maps of their errors.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipelines.commands.output_file import check_suffix
from pipelines.commands.words import MODEL, ROWS
from pipelines.runtime.stage import run

MOST_REASONS = 1_000  # rows that get a reason if nothing else is asked for: the most anomalous ones


def main(argv: Sequence[str]) -> None:
    """score MODEL INPUT [--fpr RATE | --fdr RATE] [--out FILE] [--score NAME] [--reasons N] [--explain FILE]"""
    parser = argparse.ArgumentParser(
        prog="gen-models score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help=MODEL)
    parser.add_argument("input", type=Path, help=ROWS)
    parser.add_argument("--fpr", type=float, metavar="RATE", help="call rows at this false-positive rate")
    parser.add_argument("--fdr", type=float, metavar="RATE", help="call rows at this false-discovery rate")
    parser.add_argument("--out", "--output", type=Path, help="FILE.csv or .parquet; without it, CSV to the terminal")
    parser.add_argument("--score", metavar="NAME", help="nll, reconstruction, ...; by default its likelihood")
    parser.add_argument(
        "--calibration", type=Path, metavar="FILE", help="of a checkpoint: out/evaluate/RUN/calibration.safetensors"
    )
    parser.add_argument("--reasons", type=int, default=MOST_REASONS, help="how many rows get a reason (%(default)s)")
    parser.add_argument("--explain", type=Path, metavar="FILE", help="FILE.csv or .parquet: what each column adds")
    parser.add_argument("--strict", action="store_true", help="stop at the first row that has a problem")
    asked = parser.parse_args(argv)
    for path in (asked.out, asked.explain):
        check_suffix(path, (".csv", ".parquet"))
    from pipelines.scoring.score_file import score_file

    score_file(
        asked.model, asked.input, fpr=asked.fpr, fdr=asked.fdr, score=asked.score, out=asked.out,
        calibration=asked.calibration, explain=asked.explain, reasons=asked.reasons, strict=asked.strict,
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
