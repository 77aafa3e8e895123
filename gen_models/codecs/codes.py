"""Lossy compression by a model of discrete codes, such as a VQ-VAE: the codes are entropy-coded.

A code is the index of a code vector. The model turns a row into one or more grids k of codes, coarsest first. Their
probabilities come from one of two tables:

    empirical   how often each code occurs in the rows to compress: one table for each grid, stored in the header
    prior       the model's own p(k_ij | codes before position ij), evaluated position by position as in sampling; the
                header stores no table

With the prior a row costs -log2 p(codes) bits. `compress` and `decompress` evaluate the prior in the same order, on the
same groups of rows, so that the networks round alike. This holds on one machine; bits_back.py says what is not
promised.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.codecs.container import Compressed, Rows, as_floats, common_header, require_header
from gen_models.codecs.entropy import Stack
from gen_models.errors import DataError, first_line
from gen_models.evaluating import CHUNK_ROWS, evaluating
from gen_models.one_thread import one_thread

METHOD = "codes"
TABLES = ("empirical", "prior")
ROWS_AT_ONCE = 256  # rows whose probabilities under the prior are in memory at once

Grids = tuple[Int[Tensor, "batch _h _w"], ...]


@runtime_checkable
class Coded(Protocol):
    """A model of grids of codes, coarsest first, with a density of each grid given the grids before it."""

    def codes(self, x: Float[Tensor, "batch *event"]) -> tuple[Tensor, ...]: ...

    def decode_codes(self, codes: Any) -> Float[Tensor, "batch *event"]: ...

    def prior_of(self, level: int, above: tuple[Tensor, ...]) -> tuple[Any, Tensor | None]: ...


def compress(model: nn.Module, x: Rows, *, table: str = "empirical") -> Compressed:
    """Compress rows, in the data's units. What the codebook discards is lost.

    table  empirical or prior

    Raises DataError for another table, or for a model without codes.
    """
    if table not in TABLES:
        raise DataError(f"table {table!r} does not exist: choose {' or '.join(TABLES)}")
    coded, x = _coded(model), as_floats(x, model)
    grids = codes_of(model, x)
    header = common_header(METHOD, model, len(x), tuple(x.shape[1:]))
    header |= {"table": table, "grids": [list(grid.shape[1:]) for grid in grids]}
    stack = Stack()
    if table == "empirical":
        counts = [np.bincount(grid.flatten().numpy(), minlength=1) for grid in grids]
        header["counts"] = [count.tolist() for count in counts]
        for grid, count in reversed(list(zip(grids, counts, strict=True))):
            stack.push(grid.flatten().numpy(), count.astype(np.float64))
    else:
        with evaluating(model), one_thread():
            for start in reversed(range(0, len(x), ROWS_AT_ONCE)):
                _push(stack, coded, tuple(grid[start : start + ROWS_AT_ONCE] for grid in grids))
    return Compressed(header, stack.words())


def decompress(model: nn.Module, compressed: Compressed) -> Float[Tensor, "batch *event"]:
    """Return the rows that the codes stand for: `reconstruct` of the compressed rows, bit for bit.

    Raises CheckpointError if another model compressed them, and DataError if another method did or if the header or the
    words cannot be used.
    """
    header = require_header(compressed, METHOD, model, {"table": str, "grids": list})
    rows, shapes, stack = header["rows"], _shapes(header), Stack(compressed.words)
    if header["table"] == "empirical":
        grids = tuple(
            torch.from_numpy(stack.pop(count, rows * h * w).astype(np.int64)).view(rows, h, w)
            for (h, w), count in zip(shapes, _counts(header), strict=True)
        )
    else:
        coded, parts = _coded(model), []
        with evaluating(model), one_thread():
            for start in range(0, rows, ROWS_AT_ONCE):
                parts.append(_pop(stack, coded, min(ROWS_AT_ONCE, rows - start), shapes))
        grids = tuple(torch.cat(level) for level in zip(*parts, strict=True)) if parts else _no_rows(shapes)
    if stack.bits():
        raise DataError(f"{stack.bits()} bits are left after {rows} rows; take another copy of the file")
    return _decoded(model, grids)


def codes_of(model: nn.Module, x: Float[Tensor, "batch *event"]) -> Grids:
    """Return the model's grids of codes for all rows, computed for CHUNK_ROWS rows at a time."""
    with evaluating(model):
        parts = [_coded(model).codes(chunk) for chunk in x.split(CHUNK_ROWS)]
    return tuple(torch.cat(level) for level in zip(*parts, strict=True))


def _decoded(model: nn.Module, grids: Grids) -> Float[Tensor, "batch *event"]:
    """Return the rows that codes stand for, computed for CHUNK_ROWS rows at a time."""
    with evaluating(model):
        chunks = zip(*(grid.split(CHUNK_ROWS) for grid in grids), strict=True)
        try:
            return torch.cat([_coded(model).decode_codes(chunk) for chunk in chunks])
        except (IndexError, RuntimeError) as error:  # from a file that no `compress` wrote
            raise DataError(f"the codes do not fit this {type(model).__name__} ({first_line(error)})") from None


def _push(stack: Stack, coded: Coded, grids: Grids) -> None:
    """Push the codes of some rows on the stack, with their probabilities under the prior.

    First all probabilities are computed, in the order of `_pop`. Then the codes are pushed in reverse order, as the
    code that is pushed last is popped first.
    """
    pushes = []
    for level, grid in enumerate(grids):
        density, context = coded.prior_of(level, grids[:level])
        known = torch.zeros_like(grid)
        for i in range(grid.shape[1]):
            told = density.told(known, i, context)
            for j in range(grid.shape[2]):
                pushes.append((grid[:, i, j].numpy(), _probabilities(density, known, i, j, told)))
                known[:, i, j] = grid[:, i, j]
    for symbols, probabilities in reversed(pushes):
        stack.push(symbols, probabilities)


def _pop(stack: Stack, coded: Coded, rows: int, shapes: list[tuple[int, int]]) -> Grids:
    grids: Grids = ()
    for level, (h, w) in enumerate(shapes):
        density, context = coded.prior_of(level, grids)
        known = torch.zeros(rows, h, w, dtype=torch.long)
        for i in range(h):
            told = density.told(known, i, context)
            for j in range(w):
                symbols = stack.pop(_probabilities(density, known, i, j, told))
                known[:, i, j] = torch.from_numpy(symbols.astype(np.int64))
        grids = (*grids, known)
    return grids


def _probabilities(density: Any, known: Tensor, i: int, j: int, told: list[Tensor]) -> np.ndarray:
    return density.row_logits(known, i, told)[:, :, j].double().softmax(dim=1).numpy()


def _shapes(header: dict[str, Any]) -> list[tuple[int, int]]:
    grids = header["grids"]
    if not all(isinstance(grid, list) and len(grid) == 2 and all(map(_is_side, grid)) for grid in grids):
        raise DataError(f"header of the compressed rows: grids is {str(grids)[:40]}, not a list of [h, w]")
    return [(h, w) for h, w in grids]


def _is_side(side: Any) -> bool:
    return isinstance(side, int) and side > 0


def _counts(header: dict[str, Any]) -> list[np.ndarray]:
    try:
        counts = [np.asarray(count, dtype=np.float64) for count in header["counts"]]
        is_sound = len(counts) == len(header["grids"]) and all(count.ndim == 1 and count.min() >= 0 for count in counts)
    except (KeyError, TypeError, ValueError):
        is_sound = False
    if not is_sound:
        raise DataError("header of the compressed rows: counts is no list of tables, one for each grid")
    return counts


def _no_rows(shapes: list[tuple[int, int]]) -> Grids:
    return tuple(torch.zeros(0, h, w, dtype=torch.long) for h, w in shapes)


def require_offered(model: nn.Module) -> None:
    """Raise DataError if a model has no codes."""
    _coded(model)


def _coded(model: nn.Module) -> Coded:
    if not isinstance(model, Coded):
        raise DataError(f"{type(model).__name__} has no codes: use a VQ-VAE, or --method latents")
    return model
