"""denoise: rows that something corrupted, given back clean by a model that was trained to.

    gen-models denoise denoising_ae-digits@champion noisy.npy --output clean.npy

Rows go in and come out as stored, so that pixels of q levels lie on 0 .. q - 1; a corrupted one may lie between and
beyond them. docs/denoising.md says what a denoiser is trained on.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from gen_models.analysis.denoising import is_denoiser
from gen_models.errors import DataError
from gen_models.evaluating import by_rows, evaluating
from pipelines.commands.predict import MODEL, check_suffix, deliver, open_model, read_events


def main(argv: Sequence[str]) -> None:
    """denoise MODEL INPUT --output FILE"""
    parser = argparse.ArgumentParser(
        prog="gen-models denoise",
        description="Clean rows of corrupted ones. Without any argument: the stage over all runs, out/denoise.",
    )
    parser.add_argument("model", help=MODEL)
    parser.add_argument("input", type=Path, help="rows: FILE.npy, FILE.csv or FILE.parquet")
    parser.add_argument("--output", type=Path, help="FILE.npy or FILE.csv; without it, CSV to the terminal")
    asked = parser.parse_args(argv)
    check_suffix(asked.output)
    model, facts = open_model(asked.model)
    if not is_denoiser(model):
        raise DataError(
            f"{asked.model}: {type(model).__name__} was not trained to undo a corruption; train an autoencoder with "
            f"model.corruption: gaussian, masking or salt_and_pepper, as in conf/model/denoising_ae.yaml"
        )
    x = read_events(asked.input, facts)
    with evaluating(model):
        found = by_rows(model.denoise, x)
    deliver(found.flatten(1).numpy(), asked.output, "denoise")
