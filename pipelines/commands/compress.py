"""compress: writes rows of data into a small file, with a trained model. decompress reads it.

    gen-models compress vae-digits@champion out/data/digits/test.x.npy --output rows.gmc
    gen-models decompress vae-digits@champion rows.gmc --output rows.npy

    bits_back   without loss, with a VAE of data on grey levels
    codes       a VQ-VAE's discrete latents (codes); decompress returns its reconstructions
    latents     latents rounded to a uniform grid, with any model that encodes and decodes; decompress returns what the
                rounded latents decode to

docs/codec.md describes the file, and on which machines it can be read.
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from gen_models.codecs import bits_back, codes, container, latents
from gen_models.codecs.container import Compressed
from gen_models.codecs.methods import DECOMPRESS, LOSSLESS, REQUIRE, methods_of
from gen_models.errors import DataError
from gen_models.measures.units import unit_scale
from gen_models.noise import Noise
from gen_models.table import groups_of
from pipelines import arguments
from pipelines.commands.input_rows import read_as, read_events
from pipelines.commands.stored_model import open_model
from pipelines.evaluation import png_and_jpeg
from pipelines.runtime.stage import parse
from pipelines.runtime.words import counted

STEP = 0.25  # of the grid of latents, in their standard deviations
LOST = 0.9  # a column whose squared error is at least this fraction of its variance has not been kept


def main(argv: Sequence[str]) -> None:
    """Compress the rows of a file with a model; argv: the arguments after `compress`."""
    asked = parse(argv, "compress", __doc__, arguments.compress)
    model, facts = open_model(asked.model)
    method = asked.method or _first_method(model)
    _require_options_of(method, asked)
    REQUIRE[method](model)  # before its rows are read, which may need mending in vain
    x = read_events(asked.input, read_as(facts, **arguments.reading(asked)))
    notes: list[str] = []
    if method == bits_back.METHOD:
        compressed, rate = bits_back.compress(model, x, Noise(asked.seed or 0))
        compressed.header["array"] = _array_of(asked.input)
        notes = [f"{_a_number(rate.net, x)} bits a number net, and {rate.initial} bits of noise once a file"]
    elif method == codes.METHOD:
        compressed = codes.compress(model, x, table=asked.table or arguments.TABLES[0])
    else:
        reference = x if asked.reference is None else read_events(asked.reference, facts)
        compressed = latents.compress(
            model, x, latents.grid_of(model, reference, STEP if asked.step is None else asked.step)
        )
    size = container.write(asked.output, compressed)
    print(
        f"{asked.output}: {counted(len(x), 'row')} by {method} in {size} bytes, {_a_number(8 * size, x)} bits a number"
    )
    for line in (*notes, *_beside(model, x, compressed, facts)):
        print(f"  {line}")


def _require_options_of(method: str, asked: Namespace) -> None:
    """Raise DataError if an option was given that only another method has."""
    for other, names in arguments.OPTIONS_OF.items():
        for name in names if other != method else ():
            if getattr(asked, name) is not None:
                raise DataError(f"--{name}: of --method {other}, and this is {method}; leave it out, or give --method")


def png_bytes(x: Tensor, levels: int | None) -> int | None:
    """Return the size in bytes of one PNG of all rows, made as `baselines` makes it; None if there are no pictures.

    x: (rows, *event) in grey levels, which are rounded here; levels: the number of grey levels of the data, or None for
    data that have none
    """
    if levels is None or not len(x) or not png_and_jpeg.can_be_pictured(tuple(x.shape[1:]), levels):
        return None
    return len(png_and_jpeg.png(x.round().clamp(0, levels - 1)))


def _first_method(model: nn.Module) -> str:
    """Return the first method that the model allows; if it allows none, `latents`, whose codec then says why."""
    return (*methods_of(model), latents.METHOD)[0]


def _beside(model: nn.Module, x: Tensor, compressed: Compressed, facts: Mapping[str, Any]) -> list[str]:
    """Return the lines that say how far the file's rows are from the originals, and how large a PNG of them is."""
    method, lines, levels = compressed.header["method"], [], facts["levels"]
    back = x if method == LOSSLESS else DECOMPRESS[method](model, compressed)
    if method != LOSSLESS and len(x):
        units = {"levels": levels, "statistics": facts["statistics"]}
        error = (unit_scale(back, **units) - unit_scale(x, **units)).square().mean().item()
        scale = "of columns in standard deviations" if levels is None else "of grey levels from 0 to 1"
        lines.append(f"squared error {error:.3g} a number, {scale}")
        if levels is None and x.ndim == 2 and (names := _lost(back, x, facts)):
            told = f"{len(names)} of {counted(len(groups_of(facts)), 'column')}"
            lines.append(f"not kept, with errors as large as if each value were the mean: {told}: {', '.join(names)}")
    if (size := png_bytes(back, levels)) is not None:
        lines.append(f"the same pictures as one PNG: {size} bytes")
    return lines


def _lost(back: Tensor, x: Tensor, facts: Mapping[str, Any]) -> list[str]:
    """Return the columns of rows x of a table whose values are lost in the rows `back`; see LOST."""
    error, spread = (back - x).double().square().mean(dim=0), x.double().var(dim=0, correction=0)
    places = {name: slice(*place) for name, place in groups_of(facts).items()}
    return [name for name, at in places.items() if 0 < LOST * spread[at].sum() <= error[at].sum()]


def _a_number(bits: float, x: Tensor) -> str:
    return f"{bits / max(1, x.numel()):.4g}"


def _array_of(path: Path) -> dict[str, Any] | None:
    """Return the type and shape of a .npy file, so that decompress can restore them; None for another file."""
    if path.suffix != ".npy":
        return None
    array = np.load(path, allow_pickle=False, mmap_mode="r")
    return {"dtype": array.dtype.str, "shape": list(array.shape)}
