"""Rows that a caller passes to a model: checked, and turned into a tensor on the model's device and of its dtype."""

import math
import warnings
from collections.abc import Sequence
from numbers import Real
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gen_models.errors import ConfigError, DataError, one_line
from gen_models.layers.data_scale import DataScale
from gen_models.layers.levels import Levels, coordinates, grey_levels, is_table
from gen_models.rebuildable import arguments_of
from gen_models.table import LARGEST

WORDS = "Schema.encode of gen_models.table turns words, dates and missing cells into numbers"
CHECKED_AT_ONCE = 1 << 16  # rows
LOST_BY_ROUNDING = 0.01  # of a column's standard deviation: more than this is refused
OFF_STEP = 1e-6  # how far a number of steps may be from a whole number, relative to it: the error of float32


def rows_of(model: nn.Module, x: Any, name: str = "x") -> Tensor:
    """Return the rows x, checked by `checked`, as a tensor on `device_of(model)`, of the dtype `dtype_of(model)`.

    name  what error messages call x
    """
    return checked(model, x, name).to(dtype_of(model)).to(device_of(model))


def checked(model: nn.Module, x: Any, name: str = "x") -> Tensor:
    """Return the rows x, (rows, *event), as a tensor, checked, but not yet in the model's dtype.

    x     an array, a data frame of numbers or a tensor
    name  what error messages call x

    Raises DataError if x is empty or holds anything but finite real numbers, if its rows have another shape than the
    model takes, if a value is none of those that the model's `levels` allow, or if one is larger than the model's dtype
    holds, or, in float64, than LARGEST. A row is refused or not whatever the other rows are.
    """
    rows = numbers(x, name)
    _check_shape(rows, event_shape_of(model), name, x)
    levels = levels_of(model)
    largest = LARGEST if dtype_of(model) == torch.float64 else torch.finfo(torch.float32).max
    for start in range(0, len(rows), CHECKED_AT_ONCE):
        block = rows[start : start + CHECKED_AT_ONCE]
        refuse(~torch.isfinite(block), block, start, f"{name}{{place}} is {{value}}: fill or drop such rows first")
        if block.dtype == torch.float64:  # no other dtype holds larger numbers
            line = f"{name}{{place}} = {{value}} is too large, at most {largest:.6g}: divide such columns by a constant"
            refuse(block.abs() > largest, block, start, line)
        _check_levels(block, start, levels, name)
    return rows


def numbers(x: Any, name: str) -> Tensor:
    """Return x as a tensor. Raises DataError, which calls x by `name`, if x holds anything but real numbers."""
    if isinstance(x, str | PathLike):
        raise DataError(f"{name} is the name {str(x)!r}: load the file first, as with numpy.load({str(x)!r})")
    if isinstance(x, Tensor):
        if x.is_complex():
            raise DataError(f"{name} has the dtype {x.dtype}: give real numbers")
        if x.layout != torch.strided:
            raise DataError(f"{name} is a sparse tensor: give {name}.to_dense()")
        return x.detach()
    if hasattr(x, "toarray"):
        raise DataError(f"{name} is a sparse array: give {name}.toarray()")
    if np.ma.is_masked(x):
        raise DataError(f"{name} has masked values: fill them, as with {name}.filled(0), or drop such rows first")
    try:
        array = np.asarray(x)
        if array.dtype.kind == "O" and _is_frame_of_numbers(x):  # its columns differ in dtype
            array = x.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, RuntimeError, TypeError) as error:  # lists of different lengths, or of tensors with gradients
        raise DataError(f"{name} is not an array: {one_line(error)}") from None
    if array.dtype.kind not in "fiub":
        fix = (
            f"{name}.astype(float)" if all(isinstance(cell, Real) for cell in array.flat) else f"real numbers; {WORDS}"
        )
        raise DataError(f"{name} has the dtype {array.dtype}: give {fix}")
    if array.dtype.kind == "u" and array.itemsize > 1:  # torch gathers no other unsigned numbers
        array = array.astype(np.float64 if array.itemsize > 2 else np.int32)
    elif array.dtype.kind == "f" and array.itemsize > 8:
        array = array.astype(np.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes into it
        return torch.from_numpy(np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C"))


def event_shape_of(model: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of a row that a model takes; None if the model does not record it."""
    of_scale = getattr(getattr(model, "data_scale", None), "event_shape", None)
    shape = arguments_of(model).get("event_shape", of_scale)
    return None if shape is None else tuple(shape)


def data_scale_of(model: nn.Module) -> DataScale | None:
    """Return the map with the scale of the training rows that a model keeps; None if it keeps none."""
    for holder in (model, getattr(model, "images", None)):
        scale = getattr(holder, "data_scale", None)
        if isinstance(scale, DataScale):
            return scale
    return None


def levels_of(model: nn.Module) -> Levels:
    """Return the argument `levels` with which a model was made; None if it has no such argument."""
    return arguments_of(model).get("levels")


def dtype_of(model: nn.Module) -> torch.dtype:
    """Return the dtype in which a model takes rows: float64 for a table or if a parameter is float64, else float32.

    Raises ConfigError if a parameter has fewer digits than float32.
    """
    dtypes = {p.dtype for p in model.parameters()}
    for dtype in dtypes & {torch.float16, torch.bfloat16}:
        raise ConfigError(f"the model's parameters are {dtype}, which has too few digits: model.float() first")
    is_exact = is_table(levels_of(model)) or torch.float64 in dtypes
    return torch.float64 if is_exact else torch.float32


def device_of(model: nn.Module) -> torch.device:
    """Return the device on which a model's parameters are."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def require_model(model: object) -> None:
    """Raise ConfigError if `model` is no model, such as the pair that `fit` returns."""
    if isinstance(model, tuple):
        raise ConfigError("a model is expected, not a pair: `model, history = fit(...)`")
    if not isinstance(model, nn.Module):
        raise ConfigError(f"a model is expected, not a {type(model).__name__}: VAE(...), or load(path)")


def _is_frame_of_numbers(x: Any) -> bool:
    """Return whether x is a data frame whose columns hold numbers or truth values, some of which may be missing."""
    is_frame = hasattr(x, "to_numpy") and getattr(x, "ndim", 0) == 2
    return is_frame and all(getattr(dtype, "kind", "O") in "fiub" for dtype in x.dtypes)


def _check_shape(x: Tensor, event_shape: Sequence[int] | None, name: str, given: Any) -> None:
    """Raise DataError unless x has rows of this shape; `given` is x as the caller passed it, for what he can type."""
    found = list(x.shape)
    if event_shape is None:
        event_shape = found[1:]
    if not found or found[1:] != list(event_shape):
        axes = ", ".join(map(str, event_shape))
        fix = "give such rows"
        if _is_flat_form(found[1:], event_shape):
            array = f"{name}.to_numpy()" if hasattr(given, "to_numpy") else f"numpy.array({name})"
            fix = f"give {name if hasattr(given, 'reshape') else array}.reshape(-1, {axes})"
        elif len(event_shape) == 3 and found[1:] == [*event_shape[1:], event_shape[0]]:
            moved = f"{name}.movedim(-1, 1)" if isinstance(given, Tensor) else f"numpy.moveaxis({name}, -1, 1)"
            fix = f"channels come first; give {moved}"
        raise DataError(f"{name} has the shape {tuple(found)}, and the model takes (rows, {axes}): {fix}")
    if not found[0]:
        raise DataError(f"{name} has no rows: give at least one")


def _is_flat_form(found: Sequence[int], wanted: Sequence[int]) -> bool:
    """Return whether a reshape from one shape to the other keeps what the axes mean: one of them is flat, or they
    differ by axes of length 1.
    """
    long = [[size for size in shape if size > 1] for shape in (found, wanted)]
    return math.prod(found) == math.prod(wanted) and (long[0] == long[1] or min(map(len, long)) <= 1)


def _check_levels(x: Tensor, start: int, levels: Levels, name: str) -> None:
    if is_table(levels):
        _check_columns(x, start, levels, name)
    elif (q := grey_levels(levels)) is not None and x.dtype != torch.bool:
        x = x.int() if x.dtype in (torch.int8, torch.uint8, torch.int16) else x  # which q - 1 may not fit
        wrong = (x < 0) | (x > q - 1)
        wrong = wrong | (x != x.round()) if x.is_floating_point() else wrong
        refuse(wrong, x, start, f"{name}{{place}} = {{value}}, and levels = {q} takes whole numbers 0 .. {q - 1}")


def _check_columns(x: Tensor, start: int, levels: Any, name: str) -> None:
    columns = coordinates(levels, list(x.shape[1:]))
    labels = x[:, columns.labels]
    wrong = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    wrong[:, columns.labels] = (labels != 0) & (labels != 1)
    refuse(wrong, x, start, f"{name}{{place}} = {{value}}, and a flag or a category's number is 0 or 1")
    for first, end in columns.groups:
        group = x[:, first:end]
        wrong = (group.sum(dim=1) != 1)[:, None].expand(group.shape)
        refuse(wrong, group, start, f"{name}{{place}}: one of the numbers {first} .. {end - 1} of a category must be 1")
    steps = torch.tensor(columns.steps, dtype=torch.float64, device=x.device)
    counts = x.double() / steps
    wrong = (steps > 0) & ((counts - counts.round()).abs() > OFF_STEP * counts.abs().clamp_min(1))
    for _, column in wrong.nonzero()[:1].tolist():
        allowed = f"levels takes multiples of {columns.steps[column]:g}"
        refuse(wrong, x, start, f"{name}{{place}} = {{value}}, and {allowed}: round it, or give None for this column")


def check_rounding(model: nn.Module, x: Tensor, *, is_started: bool) -> None:
    """Raise DataError if float32 rounds a column of training rows too coarsely, such as times in seconds.

    x           rows that `checked` returned
    is_started  whether the model keeps its scale, against which rounding may be small where these rows hardly vary
    """
    if levels_of(model) is not None or dtype_of(model) != torch.float32:
        return
    if x.dtype not in (torch.float64, torch.int64, torch.int32):
        return
    exact = x[:CHECKED_AT_ONCE].double().flatten(1)
    lost = (exact - exact.float()).abs().amax(dim=0)
    std = exact.std(dim=0, correction=0)
    spread = std
    if is_started and (scale := data_scale_of(model)) is not None:
        spread = std.maximum(scale.scale.detach().to(std).flatten())
    other = f"make the model with levels=[None] * {x.shape[1]}" if x.ndim == 2 else "fit model.double()"
    for column in ((lost > LOST_BY_ROUNDING * spread) & (std > 0)).nonzero().flatten()[:1].tolist():
        raise DataError(
            f"x: number {column} of a row varies by {std[column]:.3g} about {exact[:, column].mean():.6g}, which "
            f"float32 cannot hold: subtract its mean first, or {other}"
        )


def refuse(wrong: Tensor, x: Tensor, start: int, line: str) -> None:
    """Raise DataError for the first number of x that is wrong, if there is one.

    wrong  true for wrong numbers; start: index of the first row of x among all rows
    line   the message, with {place} and {value} for the number's index and value
    """
    if not wrong.any():
        return
    row, *inside = wrong.nonzero()[0].tolist()
    value = x[(row, *inside)].item()
    place = f"[{', '.join(map(str, [start + row, *inside]))}]"
    raise DataError(line.replace("{place}", place).replace("{value}", f"{value:.6g}"))
