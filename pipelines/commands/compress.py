"""compress and decompress: rows of data into a small file and back, by a trained model.

    gen-models compress vae-digits@champion rows.npy --output rows.gmc
    gen-models decompress vae-digits@champion rows.gmc --output rows.npy

    bits_back   without loss, by a VAE of data on levels
    codes       a VQ-VAE's codes; back comes its reconstruction
    latents     latents on a uniform grid, by any encoder with a decoder; back comes what the grid's cells decode to

docs/codec.md describes the file, and on which machine it can be read.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from gen_models.codecs import bits_back, codes, container, latents
from gen_models.codecs.container import Compressed
from gen_models.codecs.latent_channel import LatentChannel
from gen_models.errors import DataError, unknown
from gen_models.measures.units import unit_scale
from gen_models.noise import Noise
from pipelines.commands.predict import MODEL, open_model, read_events
from pipelines.evaluation import picture_files

METHODS = {bits_back.METHOD: bits_back.decompress, codes.METHOD: codes.decompress, latents.METHOD: latents.decompress}
LOSSLESS = bits_back.METHOD


def main(argv: Sequence[str]) -> None:
    """compress MODEL INPUT --output FILE"""
    parser = argparse.ArgumentParser(
        prog="gen-models compress",
        description="Rows of data into a small file. Without any argument: the stage over all runs, out/compress.",
    )
    parser.add_argument("model", help=MODEL)
    parser.add_argument("input", type=Path, help="rows: FILE.npy, FILE.csv or FILE.parquet")
    parser.add_argument("--output", type=Path, required=True, help="the file to write, FILE.gmc say")
    parser.add_argument("--method", help=f"one of {', '.join(METHODS)}; without it, the first that the model can do")
    parser.add_argument("--step", type=float, default=0.25, help="latents: a cell, in standard deviations of a latent")
    parser.add_argument("--reference", type=Path, help="latents: training rows that the step is chosen by, not INPUT")
    parser.add_argument(
        "--table", default="empirical", help=f"codes: probabilities from {' or '.join(codes.TABLES)} of the model"
    )
    parser.add_argument("--seed", type=int, default=0, help="bits_back: of the noise that the first row needs")
    asked = parser.parse_args(argv)
    model, facts = open_model(asked.model)
    x = read_events(asked.input, facts)
    method = asked.method or _method(model)
    if method not in METHODS:
        raise DataError(unknown("method", method, METHODS))
    notes: list[str] = []
    if method == bits_back.METHOD:
        compressed, rate = bits_back.compress(model, x, Noise(asked.seed))
        compressed.header["array"] = _array_of(asked.input)
        notes = [f"{_a_number(rate.net, x)} bits a number net, and {rate.initial} bits of noise once a file"]
    elif method == codes.METHOD:
        compressed = codes.compress(model, x, table=asked.table)
    else:
        reference = x if asked.reference is None else read_events(asked.reference, facts)
        compressed = latents.compress(model, x, latents.grid_of(model, reference, asked.step))
    size = container.write(asked.output, compressed)
    print(f"{asked.output}: {len(x)} rows by {method} in {size} bytes, {_a_number(8 * size, x)} bits a number")
    for line in (*notes, *_beside(model, x, compressed, facts)):
        print(f"  {line}")


def decompress(argv: Sequence[str]) -> None:
    """decompress MODEL FILE --output ROWS.npy"""
    parser = argparse.ArgumentParser(
        prog="gen-models decompress", description="The rows of a file of `gen-models compress`."
    )
    parser.add_argument("model", help=MODEL + "; the one that compressed them")
    parser.add_argument("input", type=Path, help="FILE of `gen-models compress`")
    parser.add_argument("--output", type=Path, required=True, help="ROWS.npy")
    asked = parser.parse_args(argv)
    if asked.output.suffix != ".npy":
        raise DataError(f"--output {asked.output}: expected a name that ends with .npy")
    compressed = container.read(asked.input)
    method = str(compressed.header.get("method"))[:40]
    if method not in METHODS:
        raise DataError(f"{asked.input}: " + unknown("method", method, METHODS))
    model, _ = open_model(asked.model)
    rows = _as_array(METHODS[method](model, compressed), compressed.header.get("array"))
    fresh = asked.output.with_name(f".{asked.output.name}.unfinished")
    try:
        with fresh.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
        fresh.replace(asked.output)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise DataError(f"{asked.output}: cannot be written ({error.strerror})") from None
    loss = "as they were" if method == LOSSLESS else "as the model reconstructs them"
    print(f"{asked.output}: {len(rows)} rows, {loss}")


def png_bytes(x: Tensor, levels: int | None) -> int | None:
    """The bytes of one PNG of all images, as the stage has it; None of rows that are no such images."""
    if levels is None or not len(x) or not picture_files.can_be_pictured(tuple(x.shape[1:]), levels):
        return None
    return len(picture_files.png(x.round().clamp(0, levels - 1)))


def _method(model: nn.Module) -> str:
    """The first that the model can do: its own codes, nothing lost, or what is left of its latents."""
    if isinstance(model, codes.Coded):
        return codes.METHOD
    try:
        LatentChannel(model, 2)
    except DataError:
        return latents.METHOD
    return bits_back.METHOD


def _beside(model: nn.Module, x: Tensor, compressed: Compressed, facts: Mapping[str, Any]) -> list[str]:
    """What the file costs beside a PNG of the same pictures, and what it loses."""
    method, lines, levels = compressed.header["method"], [], facts["levels"]
    back = x if method == LOSSLESS else METHODS[method](model, compressed)
    if method != LOSSLESS and len(x):
        units = {"levels": levels, "statistics": facts["statistics"]}
        error = (unit_scale(back, **units) - unit_scale(x, **units)).square().mean().item()
        lines.append(f"squared error {error:.3g} a number on the unit scale")
    if (size := png_bytes(back, levels)) is not None:
        lines.append(f"the same pictures as one PNG: {size} bytes")
    return lines


def _a_number(bits: float, x: Tensor) -> str:
    return f"{bits / max(1, x.numel()):.4g}"


def _array_of(path: Path) -> dict[str, Any] | None:
    """Type and shape of an .npy, to be given back as they were."""
    if path.suffix != ".npy":
        return None
    array = np.load(path, allow_pickle=False, mmap_mode="r")
    return {"dtype": array.dtype.str, "shape": list(array.shape)}


def _as_array(x: Tensor, stored: Any) -> np.ndarray:
    """Rows in the type and shape that the header names. Raises DataError where these cannot be."""
    rows = x.numpy()
    if stored is None:
        return rows
    try:
        dtype, shape = np.dtype(stored["dtype"]), tuple(int(side) for side in stored["shape"])
        if dtype.kind not in "fiu" or math.prod(shape) != rows.size:
            raise ValueError(f"{dtype} of shape {shape} for {rows.size} numbers")
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"header of the compressed rows: array cannot be ({error}); take another copy") from None
    return rows.astype(dtype).reshape(shape)
