"""sample: draws rows from a registered model, or from one in a checkpoint's folder.

gen-models sample vae-digits --n 64 --output digits.npy
gen-models sample glow-digits --n 64 --temperature 0.7
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gen_models.errors import DataError
from pipelines.commands.output_file import answering, as_rows, check_suffix
from pipelines.commands.stored_model import open_model
from pipelines.commands.words import MODEL
from pipelines.registry import serving


def main(argv: Sequence[str]) -> None:
    """sample MODEL --n N --seed SEED --temperature T --output FILE"""
    parser = argparse.ArgumentParser(prog="gen-models sample", description="Draws from a model.")
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--n", type=int, default=16, help="how many draws")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same draws")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 sharper and less varied, of models that have one"
    )
    parser.add_argument("--output", type=Path, help="FILE.csv, .parquet or .npy; without it, CSV to the terminal")
    asked = parser.parse_args(argv)
    check_suffix(asked.output)
    if asked.n < 1:
        raise DataError(f"--n {asked.n}: at least one draw")
    model, facts = open_model(asked.model)
    draws = {"n": asked.n, "seed": asked.seed, "temperature": asked.temperature}
    found = serving.answer(model, np.zeros((0, 0)), facts=facts, task="sample", **draws)
    with answering(asked.output) as answer:
        answer.write(as_rows(found, facts, "x"))
