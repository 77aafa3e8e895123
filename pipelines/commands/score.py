"""score: tells which rows are anomalous at a rate that you state, how surely, and why.

    gen-models score vae-digits out/data/digits/test.x.npy --fpr 0.05 --out scores.csv
    gen-models score gmm-clients clients_of_may.csv --fpr 0.01 --out may.csv --explain why.csv
    gen-models score vae-photos new_photos/ --fdr 0.1 --out scores.parquet

--fpr 0.01: of the normal rows, on average at most one in a hundred is flagged as an anomaly. --fdr 0.1: of the rows
that are flagged as anomalies, on average at most one in ten is normal. Without either there is no decision. Each row of
the answer has

    its identifier or path, or `row`, counted from 0
    score      larger is more anomalous
    p          the fraction of normal rows that have at least this score, by calibration rows that the model never saw
    q          the smallest false-discovery rate at which this row would be flagged as an anomaly
    decision   anomaly or normal
    rank       1 is the most anomalous
    reason     what is unusual about it: columns of a table with the values that are usual, a place in an image
    problem    why the row has no score; other rows are scored
    model, data   the model's version, and the hash of the data that it was trained on

A picture, FILE.png, is written next to FILE.csv or FILE.parquet. For a table it shows the scores beside those of
calibration rows. For images it shows the most anomalous, the borderline and the most normal ones, with maps of their
errors.
"""

from collections.abc import Sequence

from pipelines import arguments
from pipelines.runtime.stage import parse, run
from pipelines.scoring.score_file import score_file


def main(argv: Sequence[str]) -> None:
    """Say which rows of a file are anomalous, and write the answer; argv: the arguments after `score`."""
    asked = parse(argv, "score", __doc__, arguments.score)
    score_file(
        asked.model, asked.input, fpr=asked.fpr, fdr=asked.fdr, score=asked.score, out=asked.out,
        calibration=asked.calibration, explain=asked.explain, reasons=asked.reasons, strict=asked.strict,
        reading=arguments.reading(asked),
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
