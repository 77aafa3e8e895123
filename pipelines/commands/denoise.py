"""denoise: removes noise from rows with a model that was trained to do so.

    gen-models denoise denoising_ae-digits@champion out/data/digits/test.x.npy --output clean.npy

Rows are not scaled, neither in the input nor in the output: pixels on q grey levels are numbers from 0 to q - 1.
Corrupted pixels may lie between the grey levels and beyond them. If the output is a .npy file, its images have the
shape of the input's images. docs/denoising.md says on what a denoiser is trained.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gen_models.analysis.denoising import is_denoiser
from gen_models.errors import DataError
from gen_models.evaluating import by_rows, evaluating
from pipelines import arguments
from pipelines.commands.input_rows import given_shape, read_as, read_events
from pipelines.commands.output_file import answering, as_rows, form_of
from pipelines.commands.stored_model import open_model
from pipelines.data.sources.files import shown
from pipelines.runtime.stage import parse

MANY_LEVELS = 16
SMALL = 2.0  # what pixels of 0 .. 1 and their noise hardly exceed


def main(argv: Sequence[str]) -> None:
    """Remove the noise from the rows of a file, and write them; argv: the arguments after `denoise`."""
    asked = parse(argv, "denoise", __doc__, arguments.denoise)
    model, facts = open_model(asked.model)
    if not is_denoiser(model):
        raise DataError(
            f"{asked.model}: {type(model).__name__} was not trained to undo a corruption; train an autoencoder with "
            f"model.corruption: gaussian, masking or salt_and_pepper, as in conf/model/denoising_ae.yaml"
        )
    x = read_events(asked.input, read_as(facts, **arguments.reading(asked)), on_grid=False)
    _warn_of_scale(x, facts.get("levels"), asked.input)
    with evaluating(model):
        found = by_rows(model.denoise, x).flatten(1).numpy()
    with answering(asked.output, form_of(facts, given_shape(asked.input))) as answer:
        answer.write(as_rows(found, facts, "denoise"))


def _warn_of_scale(x: Tensor, levels: int | None, path: Path) -> None:
    """Print a warning if rows for a model of many grey levels look like pixels that were scaled to [0, 1] or [-1, 1].

    Corrupted pixels need not be whole levels, so the rows are not checked one by one.
    """
    if not isinstance(levels, int) or levels < MANY_LEVELS or not len(x):
        return
    if x.abs().max() <= SMALL and not torch.equal(x, x.round()):
        print(
            f"warning: {shown(path)}: no number is larger than {x.abs().max():.3g}, and this model takes grey levels "
            f"0 .. {levels - 1}; multiply pixels of 0 .. 1 by {levels - 1}",
            file=sys.stderr,
        )
