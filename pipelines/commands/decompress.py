"""decompress: reads the rows from a file that `gen-models compress` wrote.

    gen-models decompress vae-digits@champion rows.gmc --output rows.npy
    gen-models decompress vae-orders orders.gmc --output orders.csv

A .csv or .parquet file gets the columns of the model's table, with their words and dates; without --output, CSV goes to
the terminal. The model must be the one that compressed the rows. docs/codec.md says on which machines the file can be
read.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from gen_models.codecs import container
from gen_models.codecs.methods import DECOMPRESS, LOSSLESS
from gen_models.errors import DataError, unknown
from pipelines import arguments
from pipelines.commands.output_file import answering, as_rows, save_rows
from pipelines.commands.stored_model import open_model
from pipelines.runtime.stage import parse
from pipelines.runtime.words import counted


def main(argv: Sequence[str]) -> None:
    """Write the rows that a compressed file holds; argv: the arguments after `decompress`."""
    asked = parse(argv, "decompress", __doc__, arguments.decompress)
    compressed = container.read(asked.input)
    method = str(compressed.header.get("method"))[:40]
    if method not in DECOMPRESS:
        raise DataError(f"{asked.input}: " + unknown("method", method, DECOMPRESS))
    model, facts = open_model(asked.model)
    x = DECOMPRESS[method](model, compressed)
    loss = "as the model reconstructs them"
    if method == LOSSLESS:
        loss = "as they were" if compressed.header.get("array") else "as the model read them, without loss"
    if asked.output is not None and asked.output.suffix == ".npy":
        save_rows(asked.output, _as_array(x, compressed.header.get("array")))
        print(f"{asked.output}: {counted(len(x), 'row')}, {loss}")
        return
    with answering(asked.output) as answer:
        answer.write(as_rows(x.flatten(1).numpy(), facts, "x"))
    if asked.output is not None:
        print(f"the rows are {loss}")


def _as_array(x: Tensor, stored: Any) -> np.ndarray:
    """Return rows in the type and shape that the file's header names, or as they are if it names none.

    stored: what the header says of the array. Raises DataError if the rows do not fit it.
    """
    rows = x.numpy()
    if stored is None:
        return rows
    try:
        dtype, shape = np.dtype(stored["dtype"]), tuple(int(side) for side in stored["shape"])
        if dtype.kind not in "fiu" or math.prod(shape) != rows.size:
            raise ValueError(f"{dtype} of shape {shape} for {rows.size} numbers")
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"header of the compressed rows: array cannot be ({error}); take another copy") from None
    if rows.ndim == 4 and shape != rows.shape and shape == (len(rows), *rows.shape[2:], rows.shape[1]):
        rows = np.moveaxis(rows, 1, -1)  # it was channels last
    return rows.astype(dtype).reshape(shape)
