"""Lossy compression by any encoder and decoder: latents are rounded to a uniform grid and entropy-coded.

    k_j = round((z_j - m_j)/(step s_j)),  z'_j = m_j + k_j step s_j,  x' = D(z')

z_j is the j-th latent of a row x, k_j the index of its cell of the grid, and D the decoder. m_j and s_j are the mean
and standard deviation of the latent over reference rows (training rows if given, else the rows themselves). `step` is
therefore in standard deviations, and rounding has a root mean square error of step/sqrt(12) standard deviations. For
each latent, a table counts how often each k_j occurs in the rows to compress. The tables are stored in the header, so
their bytes are part of the file's size.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.codecs.container import Compressed, Rows, as_floats, common_header, require_header
from gen_models.codecs.entropy import Stack
from gen_models.contracts import Decoder, Encoder
from gen_models.errors import DataError
from gen_models.evaluating import by_rows, evaluating
from gen_models.layers.arguments import require_positive

METHOD = "latents"
MOST_CELLS = 1 << 16  # in the table of one latent


class Grid(NamedTuple):
    """A uniform grid for each latent: the middle of the cell with index 0, and the distance between cells."""

    middle: Float[Tensor, " latent"]
    step: Float[Tensor, " latent"]

    def cells(self, z: Float[Tensor, "batch latent"]) -> Int[Tensor, "batch latent"]:
        """Return the index of the cell in which each latent lies."""
        return ((z.double() - self.middle) / self.step).round().long()

    def middles(self, cells: Int[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
        """Return the middles of the cells with these indices."""
        return self.middle + cells * self.step


def grid_of(model: nn.Module, reference: Float[Tensor, "rows *event"], step: float) -> Grid:
    """Return the grid whose cells are `step` standard deviations of the reference rows' latents wide.

    A latent that is the same in all rows gets cells of width `step`. Raises DataError if there are no rows, or if a
    latent is not finite.
    """
    require_positive("step", step)
    if not len(reference):
        raise DataError("no rows to choose the step by: give at least one")
    z = _latents(model, as_floats(reference, model)).double()
    std = z.std(dim=0, correction=0)
    return Grid(z.mean(dim=0), step * torch.where(std > 0, std, torch.ones_like(std)))


def compress(model: nn.Module, x: Rows, grid: Grid) -> Compressed:
    """Compress rows, in the data's units. What the bottleneck and the grid discard is lost.

    Raises DataError if the model has no encoder or no decoder, or if a latent takes more than MOST_CELLS cells.
    """
    _decoder(model)
    x = as_floats(x, model)
    cells = grid.cells(_latents(model, x)).numpy()
    tables = [_table(j, column) for j, column in enumerate(cells.T)]
    stack = Stack()
    for column, table in reversed(list(zip(cells.T, tables, strict=True))):
        stack.push(column - table["low"], np.asarray(table["counts"], dtype=np.float64))
    header = common_header(METHOD, model, len(x), tuple(x.shape[1:]))
    header |= {"middle": grid.middle.tolist(), "step": grid.step.tolist(), "tables": tables}
    return Compressed(header, stack.words())


def decompress(model: nn.Module, compressed: Compressed) -> Float[Tensor, "batch *event"]:
    """Return x' of each compressed row x, as `quantised` returns it for the rows themselves.

    Raises CheckpointError if another model compressed them, and DataError if another method did or if the header or the
    words cannot be used.
    """
    header = require_header(compressed, METHOD, model, {"middle": list, "step": list, "tables": list})
    grid, tables = _grid(header), header["tables"]
    stack, columns = Stack(compressed.words), []
    for table in tables:
        counts = np.asarray(table["counts"], dtype=np.float64)
        columns.append(stack.pop(counts, header["rows"]).astype(np.int64) + table["low"])
    if stack.bits():
        raise DataError(f"{stack.bits()} bits are left after {header['rows']} rows; take another copy of the file")
    cells = torch.from_numpy(np.stack(columns, axis=1))
    return _decoded(model, grid, cells)


def _latents(model: nn.Module, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
    """Return the latents of rows. Raises DataError if one is not finite: it would lie in no cell."""
    with evaluating(model):
        z = by_rows(_encoder(model).encode, x)
    if not z.isfinite().all():
        raise DataError(
            f"{type(model).__name__} encodes a row as {z[~z.isfinite()][0].item()}: check that rows are finite"
        )
    return z


def quantised(model: nn.Module, x: Rows, grid: Grid) -> Float[Tensor, "batch *event"]:
    """Return x' of each row x: the decoded middles of its latents' cells, without running the entropy coder."""
    return _decoded(model, grid, grid.cells(_latents(model, as_floats(x, model))))


def _decoded(model: nn.Module, grid: Grid, cells: Int[Tensor, "batch latent"]) -> Tensor:
    dtype = next(model.parameters()).dtype
    with evaluating(model):
        return by_rows(_decoder(model).decode, grid.middles(cells).to(dtype))


def _table(latent: int, column: Int[np.ndarray, " rows"]) -> dict[str, Any]:
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    if high - low >= MOST_CELLS:
        raise DataError(
            f"latent {latent} takes cells {low} to {high}, more than {MOST_CELLS}: "
            f"give a larger step, or leave out the row that lies so far from the others"
        )
    counts = np.bincount(column - low, minlength=1) if len(column) else np.ones(1, dtype=np.int64)
    return {"low": low, "counts": counts.tolist()}


def _grid(header: dict[str, Any]) -> Grid:
    """Return the header's grid. Raises DataError unless grid and tables of the header fit one another."""
    try:
        grid = Grid(*(torch.tensor(header[key], dtype=torch.float64) for key in ("middle", "step")))
        sizes = {len(grid.middle), len(grid.step), len(header["tables"])}
        is_sound = len(sizes) == 1 and all(
            isinstance(table["low"], int) and table["counts"] and min(table["counts"]) >= 0 and max(table["counts"]) > 0
            for table in header["tables"]
        )
    except (TypeError, ValueError, KeyError, RuntimeError):
        is_sound = False
    if not is_sound:
        raise DataError("header of the compressed rows: middle, step and tables do not fit one another")
    return grid


def require_offered(model: nn.Module) -> None:
    """Raise DataError if a model lacks an encoder or a decoder."""
    _encoder(model)
    _decoder(model)


def _encoder(model: nn.Module) -> Encoder:
    if not isinstance(model, Encoder):
        raise DataError(f"{type(model).__name__} has no encoder to compress by; use an autoencoder, a VAE or a flow")
    return model


def _decoder(model: nn.Module) -> Decoder:
    if not isinstance(model, Decoder):
        raise DataError(f"{type(model).__name__} has no decoder to decompress by; use an autoencoder, a VAE or a flow")
    return model
