"""predict: asks a registered model, or one in a checkpoint's folder, about rows of data.

gen-models predict vae-digits@champion rows.npy --task score --output scores.csv
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from gen_models.errors import DataError
from pipelines.commands.input_rows import read_rows
from pipelines.commands.output_file import check_suffix, deliver
from pipelines.commands.stored_model import MODEL, open_model
from pipelines.registry import serving


def main(argv: Sequence[str]) -> None:
    """predict MODEL INPUT --task TASK --output FILE"""
    parser = argparse.ArgumentParser(prog="gen-models predict", description="Answers of a model to rows of data.")
    parser.add_argument("model", help=MODEL)
    parser.add_argument("input", type=Path, help="rows: FILE.npy, FILE.csv or FILE.parquet")
    parser.add_argument(
        "--task", default="score", help=f"one of {', '.join(t for t in serving.TASKS if t != 'sample')}"
    )
    parser.add_argument("--output", type=Path, help="FILE.npy or FILE.csv; without it, CSV to the terminal")
    asked = parser.parse_args(argv)
    check_suffix(asked.output)
    if asked.task == "sample":
        raise DataError("predict answers to rows; write `gen-models sample MODEL --n 16` for draws")
    model, facts = open_model(asked.model)
    fit = {} if asked.task == "decode" else {"columns": facts.get("columns", ()), "event_shape": facts["event_shape"]}
    rows = read_rows(asked.input, **fit)  # the input of decode is latent vectors, which have no column names
    found = serving.answer(model, rows, facts=facts, task=asked.task)
    name = serving.score_name(model, facts) if asked.task == "score" else asked.task
    deliver(found, asked.output, name)
